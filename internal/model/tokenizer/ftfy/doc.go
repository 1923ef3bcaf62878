// Package ftfy repairs broken text the way the Python packages ftfy and html do.
//
// Fix is ftfy.fix_text (version 6.3) with its default configuration: it undoes mojibake (UTF-8
// read in another encoding, once or several times), decodes HTML entities, straightens quotes,
// takes ligatures apart, gives characters their usual width, unifies line breaks, drops terminal
// escapes and control characters, and composes to NFC. Unescape is Python's html.unescape.
//
//	fix.go       the loop over lines and over repairs
//	mojibake.go  which encoding was mistaken, and the way back
//	badness.go   does text look like mojibake
//	codepage.go  single-byte encodings and what their UTF-8 mojibake is made of
//	utf8.go      UTF-8 and its variants CESU-8 and Java's
//	entity.go    HTML character references
//	char.go      repairs of single characters
//	nfc.go       canonical composition
//
// Caveats: character data is that of Go's tables, a little newer than that of a given Python; and
// lone surrogates, which a Go string cannot hold, are U+FFFD from the start.
//
// The tables in testdata hold what the reference gives: 46 chosen texts and 250 random ones.
package ftfy
