package model

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// quietPeriod is how old a file's last change has to be before its marks stand for its contents. A
// second change soon after the first could have the same time.
const quietPeriod = 2 * time.Second

// entryLimit bounds the size of a cached reading, in bytes.
const entryLimit = 4 << 20

// readings are those of this process, by the marks of all files.
var readings sync.Map

// onceRead is a reading that is made once, by the first caller; others wait for it.
type onceRead struct {
	get func() reading
	// keep holds a model that is part of the program, since its marks are addresses, which must not
	// be used again for another.
	keep *Folder
}

// cachedReading returns the reading of the weights, from this process or from the folder cache, or
// makes it. Where nothing identifies the files' contents it is made each time.
func (f *Folder) cachedReading(cache string) reading {
	// Without marks, nothing tells whether an earlier reading is of these files.
	marks := f.marks()
	if marks == nil {
		return f.read()
	}
	r := &onceRead{get: sync.OnceValue(func() reading { return f.readThrough(cache, marks) })}
	if f.builtIn {
		r.keep = f
	}
	first, _ := readings.LoadOrStore(strings.Join(marks, "\n"), r)
	return first.(*onceRead).get() //nolint:forcetypeassert // nothing else is stored
}

// marks identify the contents of the files with weights: other contents have other marks. It is nil
// where nothing does.
func (f *Folder) marks() []string {
	var marks []string
	for _, p := range f.parts() {
		for _, file := range f.components[p.name].files {
			mark := fmt.Sprintf("in the program at %p", file.Bytes())
			if !f.builtIn {
				if mark = markOf(file.Path(), file.Info()); mark == "" {
					return nil
				}
			}
			marks = append(marks, mark)
		}
	}
	return marks
}

// markOf identifies the contents of a file as it was when it was opened: path, size, times and
// inode. It is "" if the file has just changed, or is not a file.
func markOf(path string, info os.FileInfo) string {
	if info == nil || time.Since(info.ModTime()) < quietPeriod {
		return ""
	}
	return nameOf(path, info)
}

// nameOf tells files apart that exist at the same time, or "" if that cannot be told.
func nameOf(path string, info os.FileInfo) string {
	if info == nil {
		return ""
	}

	// Absolute, since processes have other working directories.
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%q %d %d%s", path, info.Size(), info.ModTime().UnixNano(), inode(info))
}

// Identity tells within this process whether two folders hold the same: then configurations and
// names, types and shapes of weights are equal, and the weights are in the same files, which are
// mapped. It reads no weight. A folder whose weights were read into memory is like no other.
func (f *Folder) Identity() (string, error) {
	outline, err := f.Outline()
	if err != nil {
		return "", err
	}
	id := []string{outline}

	for _, p := range f.parts() {
		for _, file := range f.components[p.name].files {
			name := fmt.Sprintf("in the program at %p", file.Bytes())
			if !f.builtIn {
				name = nameOf(file.Path(), file.Info())
			}
			if name == "" {
				name = fmt.Sprint("folder ", f.serial)
			}
			id = append(id, name)
		}
	}
	return strings.Join(id, "\n"), nil
}

// entry is a reading on disk, with what it is of.
type entry struct {
	Marks   []string `json:"marks"`
	Reading reading  `json:"reading"`
}

// readThrough returns the reading that the folder cache has for these marks. If there is none, it
// reads the weights and writes one, in place of the reading of what these files were before.
func (f *Folder) readThrough(cache string, marks []string) reading {
	if cache == "" || f.builtIn {
		return f.read()
	}

	// An entry only counts if all marks are those of the files as they are now.
	file := filepath.Join(cache, f.entryName())
	if r, ok := load(file, marks); ok {
		return r
	}
	r := f.read()
	if f.unchanged() {
		_ = store(file, entry{marks, r}) // on an error, the next process reads the files again
	}
	return r
}

// entryName is the same for the same paths, whatever the files hold, so that the cache does not
// grow with every change of a model.
func (f *Folder) entryName() string {
	// Only paths go in: marks say whether the entry is still true.
	h := sha256.New()
	for _, p := range f.parts() {
		for _, file := range f.components[p.name].files {
			path, _ := filepath.Abs(file.Path())
			fmt.Fprintln(h, path)
		}
	}
	return "weights-" + hex.EncodeToString(h.Sum(nil)[:16]) + ".json"
}

// unchanged reports whether the files are still those that were opened. If not, what was read may
// be a mixture, and is not cached.
func (f *Folder) unchanged() bool {
	for _, p := range f.parts() {
		for _, file := range f.components[p.name].files {
			// Sizes and times again, against those from when the file was opened.
			now, err := os.Stat(file.Path())
			if err != nil || markOf(file.Path(), now) != markOf(file.Path(), file.Info()) {
				return false
			}
		}
	}
	return true
}

// load returns the reading in a file, and whether it is one of these marks.
func load(file string, marks []string) (reading, bool) {
	data, err := readLimited(os.DirFS(filepath.Dir(file)), filepath.Base(file), entryLimit)
	var e entry
	if err != nil || json.Unmarshal(data, &e) != nil {
		return reading{}, false
	}
	same := strings.Join(e.Marks, "\n") == strings.Join(marks, "\n")
	return e.Reading, same && len(e.Reading.Weights) == hex.EncodedLen(sha256.Size)
}

// store replaces a file at once: readers see the old entry or the new one.
func store(file string, e entry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}

	// A temporary file in the same folder can be renamed over the entry.
	temp, err := os.CreateTemp(filepath.Dir(file), ".weights-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())

	if _, err = temp.Write(data); err == nil {
		err = temp.Close()
	} else {
		temp.Close()
	}

	if err == nil {
		err = os.Rename(temp.Name(), file)
	}
	return err
}
