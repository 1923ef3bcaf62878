//go:build linux || darwin

package disk

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestBallast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ballast")
	b := NewBallast(path, 1<<20)
	if b.Release() || b.Size() != 0 {
		t.Error("there is a ballast before it is made")
	}
	for range 2 {
		if err := b.Hold(); err != nil {
			t.Fatal(err)
		}
	}
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil || st.Size != 1<<20 || st.Blocks < 1<<11 {
		t.Errorf("%d bytes in %d blocks of 512, %v", st.Size, st.Blocks, err)
	}
	if b = NewBallast(path, 1<<19); b.Hold() != nil || b.Size() != 1<<19 {
		t.Errorf("a ballast of another size stays at %d", b.Size())
	}
	if !b.Release() || b.Release() || b.Size() != 0 {
		t.Error("a ballast is released other than once")
	}
	if err := NewBallast(filepath.Join(path, "x"), 1).Hold(); err == nil {
		t.Error("a ballast is made in a folder that is not there")
	}
}

func TestRoom(t *testing.T) {
	r, err := Of(t.TempDir())
	if err != nil || r.Free <= 0 || r.Total < r.Free {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Of(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there has room")
	}
}

func TestIsFull(t *testing.T) {
	for err, want := range map[error]bool{nil: false, fs.ErrNotExist: false, os.ErrPermission: false,
		&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}: true,
		fmt.Errorf("raft: %w", syscall.EDQUOT):                     true,
		fmt.Errorf("write x: no space left on device"):             true} {
		if IsFull(err) != want {
			t.Errorf("IsFull(%v) is %v", err, !want)
		}
	}
}
