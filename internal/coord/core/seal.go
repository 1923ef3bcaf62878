package core

import (
	"bytes"
	"fmt"
	"hash/crc32"
)

// An entry of the log is JSON, '#', and the CRC-32C of the JSON as eight hex digits in lower case.
// bbolt keeps no checksums of its data, so without one a bit that flips on a disk would be
// replicated as a decision. Entries of before version 6 end with the '}' of their JSON.
const (
	sealMark  = '#'
	sealBytes = 9
	sealSince = 6 // the version from which every entry has one
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal appends the checksum.
func seal(data []byte) []byte {
	return fmt.Appendf(data, "%c%08x", sealMark, crc32.Checksum(data, castagnoli))
}

// Unseal checks an entry of the log and returns its JSON; sealed tells whether it had a checksum.
func Unseal(entry []byte) (data []byte, sealed bool, err error) {
	if bytes.HasSuffix(entry, []byte{'}'}) {
		return entry, false, nil
	}
	at := len(entry) - sealBytes
	if at < 0 || entry[at] != sealMark {
		return nil, false, fmt.Errorf("%w: its end is missing", ErrCorrupt)
	}
	// The digits are compared as they are written: to read them as a number would let a damaged one
	// pass that has become upper-case.
	have := fmt.Sprintf("%08x", crc32.Checksum(entry[:at], castagnoli))
	if written := string(entry[at+1:]); written != have {
		return nil, false, fmt.Errorf("%w: its checksum is %s, written was %.8q", ErrCorrupt, have,
			written)
	}
	return entry[:at], true, nil
}

// Seal adds the checksum to the JSON of an entry.
func Seal(data []byte) []byte { return seal(bytes.Clone(data)) }
