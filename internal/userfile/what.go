package userfile

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// WhatBytes is how much of a file's beginning What looks at. It holds the magic of every format
// below and a line of an error page.
const WhatBytes = 512

// again ends the description of a file that a download has spoilt.
const again = "; download it again"

// magics are the first bytes of files that people name by mistake, and what to say of them.
var magics = []struct{ begins, what string }{
	{"version https://git-lfs",
		"a Git LFS pointer, which stands for the file; fetch it with git lfs pull"},
	{"GGUF", "a GGUF file, whose quantised weights are not supported; take safetensors"},
	{"PK\x03\x04", "a zip archive, as PyTorch's pickles (.bin, .pt, .pth) are; take safetensors"},
	{"\x80\x02", pickle}, {"\x80\x03", pickle}, {"\x80\x04", pickle}, {"\x80\x05", pickle},
	{"\x1f\x8b", "compressed with gzip; unpack it"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it"},
	{"\xfd7zXZ\x00", "compressed with xz; unpack it"},
	{"\x89HDF\r\n", "an HDF5 file; take safetensors"},
}

// pickle is said of every version of the format.
const pickle = "a Python pickle, as PyTorch's .bin, .pt and .pth are; take safetensors"

// What says what a file is and what to do about it, by its first WhatBytes bytes (head), if it
// cannot hold what its reader expects: a pointer, a web page, another format. It returns "" if the
// bytes do not tell.
func What(head []byte) string {
	head = head[:min(len(head), WhatBytes)]
	if len(head) == 0 {
		return "empty" + again
	}
	for _, m := range magics {
		if strings.HasPrefix(string(head), m.begins) {
			return m.what
		}
	}
	if len(bytes.Trim(head, "\x00")) == 0 {
		return "nothing but zeros at its beginning, as an unfinished download has" + again
	}
	return text(head)
}

// text says what readable text is, where data was expected; "" if it is not readable.
func text(head []byte) string {
	s := strings.TrimSpace(strings.TrimPrefix(string(head), "\ufeff"))
	lower := strings.ToLower(s)
	for _, tag := range []string{"<!doctype html", "<html", "<head", "<body", "<script"} {
		if strings.HasPrefix(lower, tag) {
			return "a web page (HTML), as a proxy or a login page sends it" + again
		}
	}
	if !readable(s) {
		return ""
	}
	if strings.HasPrefix(s, "<") {
		return "an XML document, most likely a server's error" + again
	}
	line, _, _ := strings.Cut(s, "\n")
	return fmt.Sprintf("a text that begins with %.60q, most likely a server's error", line) + again
}

// readable reports whether s is printable UTF-8. Its last character may be cut off.
func readable(s string) bool {
	for i, r := range s {
		cut := r == utf8.RuneError && i > len(s)-utf8.UTFMax
		if !cut && (r == utf8.RuneError || !unicode.IsPrint(r) && !unicode.IsSpace(r)) {
			return false
		}
	}
	return s != ""
}
