package media

import (
	"bytes"
	"encoding/binary"
)

// exifMark precedes the TIFF structure in a JPEG, and sometimes in a WebP.
var exifMark = []byte("Exif\x00\x00")

// tiffOrientation reads the tag Orientation in the first directory of a TIFF structure (EXIF 2.32,
// 4.6): 1 to 8, or 1, upright, if there is none that can be read.
func tiffOrientation(b []byte) int {
	const (
		tag, entry = 0x0112, 12
		typeShort  = 3
	)
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte("MM\x00*")):
		order = binary.BigEndian
	default:
		return 1
	}

	if len(b) < 8 {
		return 1
	}

	// The header says where the directory is: a count, then entries of tag, type, count and value.
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 1
	}
	entries := b[at+2:]

	for n := int(order.Uint16(b[at:])); n > 0 && len(entries) >= entry; n-- {
		e := entries[:entry]
		entries = entries[entry:]

		// Entries are sorted by tag, but files that are not are read all the same.
		if order.Uint16(e) != tag {
			continue
		}

		// A value of 16 bits lies in the first two of the entry's last four bytes.
		v := int(order.Uint16(e[8:]))
		if order.Uint16(e[2:]) == typeShort && order.Uint32(e[4:]) == 1 && v >= 1 && v <= 8 {
			return v
		}
		return 1
	}
	return 1
}

// pngOrientation looks for a PNG's chunk eXIf, which may be anywhere. A chunk is length, name, data
// and checksum.
func pngOrientation(data []byte) int {
	const head, sum = 8, 4
	for at := len("\x89PNG\r\n\x1a\n"); at+head <= len(data); {
		n := int64(binary.BigEndian.Uint32(data[at:]))
		if n+head+sum > int64(len(data)-at) {
			return 1
		}
		if string(data[at+4:at+head]) == "eXIf" {
			return tiffOrientation(bytes.TrimPrefix(data[at+head:at+head+int(n)], exifMark))
		}
		at += head + int(n) + sum
	}
	return 1
}

// webpOrientation looks for a WebP's chunk EXIF.
func webpOrientation(data []byte) int {
	for c := range webpChunks(data) {
		if c.name == "EXIF" {
			return tiffOrientation(bytes.TrimPrefix(c.body, exifMark))
		}
	}
	return 1
}

// jpegOrientation looks for a JPEG's APP1 segment that has EXIF, in front of the picture itself.
func jpegOrientation(data []byte) int {
	const app1, sos = 0xe1, 0xda
	for m := range jpegSegments(data) {
		if m.marker == sos {
			return 1
		}
		if m.marker == app1 && bytes.HasPrefix(m.body, exifMark) {
			return tiffOrientation(m.body[len(exifMark):])
		}
	}
	return 1
}
