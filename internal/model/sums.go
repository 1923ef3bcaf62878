package model

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longtake/longtake/internal/userfile"
)

// SumsLimit bounds a list of hashes, in bytes.
const SumsLimit = 4 << 20

// Sum is the SHA-256 of one file of a model's folder, as a line of a list that people compare with
// that of another machine or of Hugging Face.
type Sum struct {
	File   string `json:"file"`   // in the folder, with slashes
	SHA256 string `json:"sha256"` // in lower-case digits
}

// folders are where the files of a model are, within its folder.
var folders = []string{".", ImageEncoder, "image_processor", "scheduler", "text_encoder",
	"tokenizer", FirstExpert, SecondExpert, "vae"}

// Sums hashes the files of a model's folder: configurations, tokenizer and weights, in alphabetical
// order, whether or not they are valid. Links are followed, as the cache of Hugging Face consists
// of them. It ends early, with ctx's error, when ctx does.
func Sums(ctx context.Context, dir string) ([]Sum, error) {
	var all []Sum
	fsys := userfile.Dir(dir)

	// A missing folder of a component is for Open to report; here it has no files.
	for _, folder := range folders {
		entries, err := fs.ReadDir(fsys, folder)
		if err != nil && folder == "." {
			return nil, fmt.Errorf("cannot read %s: %w", dir, pathless(err))
		}
		for _, e := range entries {
			ext := path.Ext(e.Name())
			if !e.IsDir() && (ext == ".json" || ext == ".safetensors") {
				all = append(all, Sum{File: path.Join(folder, e.Name())})
			}
		}
	}

	if len(all) > filesLimit {
		return nil, fmt.Errorf("%s has %d files; allowed: up to %d", dir, len(all), filesLimit)
	}
	slices.SortFunc(all, func(a, b Sum) int { return strings.Compare(a.File, b.File) })
	return all, sumAll(ctx, dir, all)
}

// sumAll fills in the hashes, several files at a time, and returns the first file's error.
func sumAll(ctx context.Context, dir string, all []Sum) error {
	// Disks with many queues read several files faster than one.
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(all))

	// Each goroutine takes the next file until there are none left.
	for range min(len(all), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				file := filepath.Join(dir, filepath.FromSlash(all[i].File))
				all[i].SHA256, errs[i] = sumOf(ctx, file)
			}
		})
	}

	wg.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", all[i].File, pathless(err))
		}
	}
	return nil
}

// sumOf hashes one file.
func sumOf(ctx context.Context, file string) (string, error) {
	// Files may be links into a cache, and larger than memory.
	f, err := userfile.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, ctxReader{ctx, f}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ctxReader reads a file until ctx ends.
type ctxReader struct {
	ctx  context.Context
	file *os.File
}

// Read implements io.Reader; once ctx has ended it returns ctx's error.
func (p ctxReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.file.Read(b)
}

// ParseSums reads a list of hashes as sha256sum writes it, or as BSD's sha256 does, and returns the
// hash of each file. Empty lines and comments are skipped; any other line is an error that gives
// its number.
func ParseSums(data []byte) (map[string]string, error) {
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, SumsLimit)

	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}

		// A file listed twice with different hashes cannot be right.
		sum, file, ok := parseSum(line)
		if !ok {
			return nil, fmt.Errorf("line %d is %.80q; allowed: a SHA-256, two spaces and a file of the "+
				"folder, as sha256sum writes", n, line)
		}

		if old, twice := sums[file]; twice && old != sum {
			return nil, fmt.Errorf("line %d gives %.80q another SHA-256 than a line before; allowed: one "+
				"for each file", n, file)
		}
		sums[file] = sum
	}

	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(sums) == 0 {
		return nil, fmt.Errorf("there is no SHA-256 in it; allowed: a list as sha256sum writes it")
	}
	return sums, nil
}

// parseSum reads one line: the hash in lower case, and the file's path in the folder.
func parseSum(line string) (sum, file string, ok bool) {
	// "SHA256 (file) = hash", or "hash file", with * in place of a space for binary mode.
	if rest, bsd := strings.CutPrefix(line, "SHA256 ("); bsd {
		at := strings.LastIndex(rest, ") = ")
		if at < 0 {
			return "", "", false
		}
		file, sum = rest[:at], rest[at+len(") = "):]
	} else {
		if len(line) < 2*sha256.Size+3 {
			return "", "", false
		}
		sum, file = line[:2*sha256.Size], line[2*sha256.Size:]
		if !strings.HasPrefix(file, "  ") && !strings.HasPrefix(file, " *") {
			return "", "", false
		}
		file = file[2:]
	}

	// A name with .. or a slash in front could be any file.
	b, err := hex.DecodeString(sum)
	file = strings.TrimPrefix(file, "./")
	return strings.ToLower(sum), file, err == nil && len(b) == sha256.Size && fs.ValidPath(file)
}
