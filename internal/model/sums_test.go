package model

import (
	"io/fs"
	"strings"
	"testing"
)

func FuzzParseSums(f *testing.F) {
	sum := strings.Repeat("0123456789abcdef", 4)
	f.Add([]byte(sum + "  vae/config.json\n# a comment\n" + sum + " *b.json\r\n"))
	f.Add([]byte("SHA256 (vae/config.json) = " + sum))
	f.Add([]byte(sum + "  ../x"))
	f.Add([]byte("SHA256 () = )= "))
	f.Fuzz(func(t *testing.T, data []byte) {
		sums, err := ParseSums(data)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of more than a line: %q", err)
			}
			return
		}
		if len(sums) == 0 {
			t.Error("an empty list is taken")
		}
		for file, sum := range sums {
			if !fs.ValidPath(file) || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
				t.Errorf("%q has %q", file, sum)
			}
		}
	})
}
