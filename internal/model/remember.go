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

// settled is how old a file's last change has to be before its marks stand for its contents: a
// second change could have the same time.
const settled = 2 * time.Second

// entryLimit bounds what is read of a remembered reading, in bytes.
const entryLimit = 4 << 20

// readings are those of this process, by marks.
var readings sync.Map

// onceRead is a reading that is made once. What marks in the program point to stays as it is.
type onceRead struct {
	get  func() reading
	keep *Folder
}

// remembered returns what reading the weights tells, and reads them if nobody has yet.
func (f *Folder) remembered(cache string) reading {
	marks := f.marks()
	if marks == nil {
		return f.read()
	}
	r := &onceRead{get: sync.OnceValue(func() reading { return f.recall(cache, marks) })}
	if f.builtIn {
		r.keep = f
	}
	first, _ := readings.LoadOrStore(strings.Join(marks, "\n"), r)
	return first.(*onceRead).get() //nolint:forcetypeassert // nothing else is stored
}

// marks name the contents of the files with weights: other contents have other marks. Nil says that
// there is nothing that does.
func (f *Folder) marks() []string {
	var marks []string
	for _, p := range parts {
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

// markOf names the contents of a file as it was when it was opened; "": it has just been changed,
// or is no file.
func markOf(path string, info os.FileInfo) string {
	if info == nil || time.Since(info.ModTime()) < settled {
		return ""
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%q %d %d%s", path, info.Size(), info.ModTime().UnixNano(), inode(info))
}

// entry is a reading on disk.
type entry struct {
	Marks   []string `json:"marks"`
	Reading reading  `json:"reading"`
}

// recall returns the reading that the folder cache has of these marks. If there is none it reads
// the weights and leaves one, in place of that of what these files were before.
func (f *Folder) recall(cache string, marks []string) reading {
	if cache == "" || f.builtIn {
		return f.read()
	}
	file := filepath.Join(cache, f.entryName())
	if r, ok := load(file, marks); ok {
		return r
	}
	r := f.read()
	if f.unchanged() {
		_ = store(file, entry{marks, r}) // without, the files are read again
	}
	return r
}

// entryName is the same for the same files, whatever they hold.
func (f *Folder) entryName() string {
	h := sha256.New()
	for _, p := range parts {
		for _, file := range f.components[p.name].files {
			path, _ := filepath.Abs(file.Path())
			fmt.Fprintln(h, path)
		}
	}
	return "weights-" + hex.EncodeToString(h.Sum(nil)[:16]) + ".json"
}

// unchanged reports whether the files are still those that were opened.
func (f *Folder) unchanged() bool {
	for _, p := range parts {
		for _, file := range f.components[p.name].files {
			now, err := os.Stat(file.Path())
			if err != nil || markOf(file.Path(), now) != markOf(file.Path(), file.Info()) {
				return false
			}
		}
	}
	return true
}

// load returns the reading in a file if it is of these marks.
func load(file string, marks []string) (reading, bool) {
	data, err := readLimited(os.DirFS(filepath.Dir(file)), filepath.Base(file), entryLimit)
	var e entry
	if err != nil || json.Unmarshal(data, &e) != nil {
		return reading{}, false
	}
	same := strings.Join(e.Marks, "\n") == strings.Join(marks, "\n")
	return e.Reading, same && len(e.Reading.Weights) == hex.EncodedLen(sha256.Size)
}

// store writes a file in one go: a reader sees all of it or none.
func store(file string, e entry) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
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
