// Package fleet reads what devices there are, or might be bought, and what lies between them: in a
// line such as 4x(8xH200)+ib, or in a file of YAML. It knows no devices: their names, or the files
// that describe them, are for package perf. It is pure.
//
//	pool  = hosts { "+" hosts } { "+" link }
//	hosts = [ count "x" ] device | count "x(" [ count "x" ] device ")"
//	link  = ( [ count "x" ] name | rate ) [ "@" latency ]
//
// 8xH100 is a host of eight devices, 4x(8xH200) four of them, and 100xcpu a hundred machines, as a
// CPU is a host of its own. A device that has a dot or a slash in its name is a file.
package fleet
