package mlperf

import (
	"crypto/sha1" //nolint:gosec // git names files by it
	"encoding/hex"
	"fmt"
	"io"
)

// The rules have all systems begin all clips with one latent, so that what they make of a prompt
// can be compared: noise that each draws in its own way would differ from one to the other. The
// file has some MB, and is not kept here. Its name in git, a hash of its bytes, tells whether a
// file is it; one that was converted has other bytes, and is told as another one, since nobody
// could say of it what it was.

// fixedLatent is the BlobID of text_to_video/wan-2.2-t2v-a14b/data/fixed_latent.pt in
// mlcommons/inference, as of August 2026.
const fixedLatent = "7c88cf35aa26a98e81a432a8cea22ba5f6b8ef04"

// BlobID returns the name that git has for a file of so many bytes: a listing of the repository has
// it, without the file.
func BlobID(r io.Reader, size int64) (string, error) {
	sum := sha1.New() //nolint:gosec // it tells one file from another, and guards nothing
	fmt.Fprintf(sum, "blob %d\x00", size)
	if _, err := io.Copy(sum, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
