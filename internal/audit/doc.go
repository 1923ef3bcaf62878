// Package audit is the form of the audit log: entries that are chained by hashes, one JSON line
// each, and the files that keep them.
//
// An [Entry] says who did what, when, from where, and with which outcome. Its line is canonical
// JSON (see [Canonical]), so that one entry has one spelling and any language can write it again.
// The hash of an entry is the SHA-256 of its line without the member "hash", and that line has the
// hash of the entry before it as "prev". So whoever changes, removes or inserts an entry has to
// change all that follow, and the last hash with them, which a [Head] remembers elsewhere: in Raft.
// Chaining records by hashes is after Haber and Stornetta, How to Time-Stamp a Digital Document
// (1991).
//
// A [Log] is a directory of such lines, in files that are named after their first entry. It is told
// every entry in order, some of them twice, and keeps each once. It is safe for concurrent use and
// starts no goroutines.
//
// # What is on the disk when
//
// An entry is in the file as soon as it is appended, and on the disk after Sync. A crash in between
// may take the last entries, and cut one of them. Whoever appends has to be able to append them
// once more until Sync has returned: a coordinator derives them from Raft's log, and does not
// shorten that before. So a log that is opened again drops a last line that is cut, and compares
// what it is told with what it has.
//
// # Files
//
// A directory has files audit-NUMBER.jsonl, where NUMBER is that of the first entry, in 20 digits
// so that names sort as numbers do. A file ends before it has more than 8 MiB, and where the next
// entry does not follow: a coordinator that was sent a snapshot has missed some. So each file is a
// chain by itself, and files can be copied from one coordinator to another, or removed from the
// oldest on.
//
// When a log is opened, only its last file is read: the others were on the disk for good when they
// ended. Lines of that file which are wrong are cut off, with all behind them. If it was more than
// one line, that was no crash, and a copy is kept for whoever has to find out what it was. What is
// appended under a number that is there already is compared with it, in the last file, and wins: it
// is what most coordinators have agreed on.
//
// # What it shows, and what not
//
// A file that a Verifier takes has no entry in it that was changed, removed, moved or put in since
// it was written. It does not show that nothing is missing at its end, nor that nobody has written
// all of it anew: for both, its head has to be compared with one that is kept elsewhere.
// Coordinators keep it in Raft, so whoever wants to forge the log has to forge it on most of them,
// and to change what they have agreed on.
//
// # Why texts
//
// All details of an entry are texts, also those that are numbers. Readers of JSON differ in how
// large a number may be, seeds have 64 bits, and what one of them rounds would not have its hash
// any more.
package audit
