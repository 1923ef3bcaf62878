// Package keyfile keeps the texts of API keys in files that only their owner can read: the local
// key, by which the commands of a user reach a coordinator of the same user on this machine, and
// the first key of a cluster, which its administrator gets.
package keyfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/userfile"
)

const (
	// fileMax bounds a file with a key, in bytes: the key, and a line break or two.
	fileMax = 512
	// Names of files: of the local key, in a folder called longtake of the user's configuration, and
	// of an administrator's first key and what the coordinator keeps of it, in tls.dir.
	localName = "local.key"
	adminName = "admin.key"
	hashName  = "admin.sha256"
)

// random fills b with random bytes, and does not fail: see crypto/rand.
func random(b []byte) { _, _ = rand.Read(b) }

// Read returns the key in a file, which may have white space around it. Errors never show it.
func Read(path string) (string, error) {
	raw, err := userfile.Read(path, fileMax)
	if err != nil {
		return "", fmt.Errorf("cannot read an API key: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	if text == "" || strings.ContainsAny(text, " \t\r\n") {
		return "", fmt.Errorf("%s is not a file with an API key; allowed: one line such as lt_...", path)
	}
	return text, nil
}

// LocalPath is where the local key of this user is; an error says that the user has no home.
func LocalPath() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "longtake", localName), nil
}

// Local returns the local key of this user, which it makes where there is none, and the path of its
// file. A user without a home, or with one that cannot be written, has it in the folder data.
func Local(data string) (path, text string, err error) {
	if path, err = LocalPath(); err == nil {
		if text, err = readOrMake(path); err == nil || !errors.Is(err, fs.ErrPermission) &&
			!errors.Is(err, errReadOnly) {
			return path, text, err
		}
	}
	path = filepath.Join(data, localName)
	text, err = readOrMake(path)
	return path, text, err
}

// readOrMake returns the local key in a file, which it makes if there is none.
func readOrMake(path string) (string, error) {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = create(path, access.NewText(access.Local, random))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("cannot make the local key: %w", err)
	}
	if err := private(path); err != nil {
		return "", err
	}

	text, err := Read(path)
	if id, ok := access.ParseText(text); err == nil && (!ok || id != access.Local) {
		err = fmt.Errorf("%s is not a local key; allowed: to remove it, so that the next start makes "+
			"one", path)
	}
	return text, err
}

// private wants a file that nobody else can read.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read the local key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%s has mode %04o, so others may have read it; allowed: 0600; remove the "+
			"file, and the next start makes another key", path, mode)
	}
	return nil
}

// create writes a text to a new file, whole or not at all; fs.ErrExist if it is there.
func create(path, text string) error {
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())

	_, err = f.WriteString(text + "\n")
	if err == nil {
		err = f.Sync()
	}

	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path) // which another start may have made meanwhile
}

// WriteAdmin makes the first key of a cluster, of scope admin, in a folder: admin.key is for the
// administrator to keep elsewhere and to remove, admin.sha256 for the coordinator, which takes it
// in when it first leads. It returns the path of the key. Files that are there are an error.
func WriteAdmin(dir string, now time.Time) (path string, err error) {
	id := access.NewID(random)
	text := access.NewText(id, random)
	path = filepath.Join(dir, adminName)
	if err = create(path, text); err == nil {
		err = create(filepath.Join(dir, hashName), fmt.Sprintf("%s %s %s", id, access.HashText(text),
			now.UTC().Format(time.RFC3339)))
	}
	if err != nil {
		return path, fmt.Errorf("cannot write the first key to %s: %w", dir, err)
	}
	return path, nil
}

// CopyAdmin gives another folder what ReadAdmin reads: any of several coordinators may lead first.
func CopyAdmin(from, to string) error {
	raw, err := userfile.Read(filepath.Join(from, hashName), fileMax)
	if err == nil {
		err = create(filepath.Join(to, hashName), strings.TrimSuffix(string(raw), "\n"))
	}
	if err != nil {
		return fmt.Errorf("cannot copy the first key to %s: %w", to, err)
	}
	return nil
}

// ReadAdmin returns what WriteAdmin left for the coordinator; false if there is nothing.
func ReadAdmin(dir string) (k access.Key, ok bool, err error) {
	raw, err := userfile.Read(filepath.Join(dir, hashName), fileMax)
	if errors.Is(err, fs.ErrNotExist) {
		return k, false, nil
	}
	if err != nil {
		return k, false, fmt.Errorf("cannot read the first key: %w", err)
	}

	// Anything else than three fields leaves a key that Check refuses.
	f := strings.Fields(string(raw))
	if len(f) == 3 {
		k = access.Key{ID: f[0], Hash: f[1], Name: "admin", Scopes: access.Scopes{access.Admin}}
		k.Created, err = time.Parse(time.RFC3339, f[2])
	}

	if err != nil || k.Check() != nil {
		return k, false, fmt.Errorf("%s is damaged; allowed: an id, a hash and a time, as longtake pki "+
			"init writes them", filepath.Join(dir, hashName))
	}
	return k, true, nil
}
