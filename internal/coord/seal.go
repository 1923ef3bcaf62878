package coord

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

// Entries end with '#' and the CRC-32C of what is before it, as eight hex digits. Those of before
// version 6 end with the '}' of their JSON.
const (
	sealMark  = '#'
	sealBytes = 9
	sealSince = 6 // the version from which on every entry has one
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is why an entry or a snapshot cannot be what was written.
var errDamaged = errors.New("it is damaged")

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
		return nil, false, fmt.Errorf("%w: its end is missing", errDamaged)
	}
	sum, err := strconv.ParseUint(string(entry[at+1:]), 16, 32)
	if have := crc32.Checksum(entry[:at], castagnoli); err != nil || uint32(sum) != have {
		return nil, false, fmt.Errorf("%w: its checksum is %08x, written was %.8q", errDamaged, have,
			entry[at+1:])
	}
	return entry[:at], true, nil
}

// Seal adds the checksum to the JSON of an entry.
func Seal(data []byte) []byte { return seal(bytes.Clone(data)) }
