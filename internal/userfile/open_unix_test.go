//go:build unix

package userfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestOpeningNeverWaits opens what has no end or no writer: it would hang otherwise.
func TestOpeningNeverWaits(t *testing.T) {
	dir, err := os.MkdirTemp("", "u") // short, for a socket's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	pipe, socket, link := filepath.Join(dir, "p"), filepath.Join(dir, "s"), filepath.Join(dir, "l")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Symlink(pipe, link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{pipe: "a named pipe", link: "a named pipe",
		socket: "a socket", "/dev/zero": "a device", dir: "a folder"} {
		for _, open := range []func() error{
			func() error { _, err := Open(path); return err },
			func() error { _, err := Read(path, 10); return err },
			func() error { _, err := ReadFS(Dir(filepath.Dir(path)), filepath.Base(path), 10); return err },
		} {
			var wrong *fs.PathError
			if err := open(); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q", path, err, want)
			}
		}
	}
}
