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

// Sum is the SHA-256 of a file of a model's folder.
type Sum struct {
	File   string `json:"file"`   // in the folder, with slashes
	SHA256 string `json:"sha256"` // in lower-case digits
}

// folders are those of a model's folder that hold files it is made of.
var folders = []string{".", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"}

// Sums hashes the files of a model's folder: configurations, tokenizer and weights, in alphabetical
// order, whether or not they are sound. Links are followed, as in the cache of Hugging Face.
func Sums(ctx context.Context, dir string) ([]Sum, error) {
	var all []Sum
	fsys := userfile.Dir(dir)
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

// sumAll fills in the hashes, several files at a time.
func sumAll(ctx context.Context, dir string, all []Sum) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(all))
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

func sumOf(ctx context.Context, file string) (string, error) {
	f, err := userfile.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(h, patient{ctx, f}, make([]byte, 1<<20)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// patient reads a file until ctx ends.
type patient struct {
	ctx  context.Context
	file *os.File
}

func (p patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.file.Read(b)
}

// ParseSums reads a list as sha256sum writes it, or as BSD's sha256 does: the hash of each file.
func ParseSums(data []byte) (map[string]string, error) {
	sums := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, SumsLimit)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
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

func parseSum(line string) (sum, file string, ok bool) {
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
	b, err := hex.DecodeString(sum)
	file = strings.TrimPrefix(file, "./")
	return strings.ToLower(sum), file, err == nil && len(b) == sha256.Size && fs.ValidPath(file)
}
