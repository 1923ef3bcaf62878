package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/longtake/longtake/internal/freeport"
)

// damageLog changes one byte of the latest command in a coordinator's log; false: there is none.
func damageLog(path string) (done bool, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: deadline})
	if err != nil {
		return false, err
	}
	defer db.Close()
	return done, db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("logs"))
		for c, k, v := b.Cursor(), []byte(nil), []byte(nil); ; {
			if k == nil {
				k, v = c.Last()
			} else {
				k, v = c.Prev()
			}
			if k == nil {
				return nil
			}
			if at := bytes.Index(v, []byte(`"kind"`)); at >= 0 {
				v = slices.Clone(v)
				v[at+1] ^= 1
				done = true
				return b.Put(slices.Clone(k), v)
			}
		}
	})
}

// ended waits for a process to end by itself and returns what it logged.
func (d *program) ended() (text string, code int, err error) {
	late := time.AfterFunc(deadline, func() { d.cmd.Process.Kill() })
	defer late.Stop()
	var b strings.Builder
	for line := range d.logs {
		fmt.Fprintln(&b, line)
	}
	var e *exec.ExitError
	if err = d.cmd.Wait(); errors.As(err, &e) {
		return b.String(), e.ExitCode(), nil
	}
	return b.String(), 0, err
}

// judgeDamage wants a coordinator to have said in a line what is damaged and what can be done.
func judgeDamage(text string, code int, err error) error {
	switch {
	case err != nil || code != 1:
		return fmt.Errorf("it ended with %d, %v: %s", code, err, text)
	case strings.Contains(text, "goroutine ") || strings.Contains(text, "panic"):
		return fmt.Errorf("it panics: %s", text)
	case !strings.Contains(text, "entry") || !strings.Contains(text, "coordinator recover"):
		return fmt.Errorf("it does not say what is wrong, or what can be done: %s", text)
	}
	return nil
}

// TestADamagedLogIsRecovered damages the log of a coordinator that was stopped: it says so, and
// starts again after coordinator recover.
func TestADamagedLogIsRecovered(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	b, data := build(t), t.TempDir()
	addrs := freeport.Addrs(2)
	args := []string{"--data", data, "--http-listen", addrs[0], "--nats-listen", addrs[1]}
	d := b.start(t, "coordinator", args...)
	d.find("serving")
	until(t, "a log", func() bool {
		done, err := hasCommand(filepath.Join(data, "raft.db"))
		return done && err == nil
	})
	d.stop() // killed here, it may lack the page that refers to what is in the file already
	if done, err := damageLog(filepath.Join(data, "raft.db")); !done || err != nil {
		t.Fatal(done, err)
	}
	if err := judgeDamage(b.start(t, "coordinator", args...).ended()); err != nil {
		t.Fatal(err)
	}
	for _, drop := range []bool{false, true} {
		cmd := exec.Command(filepath.Join(b.dir, "coordinator"), "recover", "--data", data,
			fmt.Sprintf("--drop-damaged=%v", drop))
		if out, err := cmd.CombinedOutput(); (err == nil) != drop {
			t.Fatalf("%v: %s", err, out)
		}
	}
	d = b.start(t, "coordinator", args...)
	d.find("serving")
	d.stop()
}

// hasCommand reports whether a command has reached the disk.
func hasCommand(path string) (bool, error) {
	data, err := os.ReadFile(path)
	return bytes.Contains(data, []byte(`"kind"`)), err
}

// damageEntry damages the log of a coordinator that was killed: it does not start, until the
// operator puts a good copy back.
func (c *chaos) damageEntry() {
	p := c.coords[c.rng.IntN(len(c.coords))]
	path := filepath.Join(p.data, "raft.db")
	p.d.kill()
	good, err := os.ReadFile(path)
	if err != nil {
		c.t.Error(err)
	}
	done, err := damageLog(path)
	if err != nil {
		c.t.Error(err)
	}
	if done {
		if err := judgeDamage(c.b.start(c.t, "coordinator", p.args...).ended()); err != nil {
			c.t.Error(err)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			c.t.Error(err)
		}
	}
	p.d = c.b.start(c.t, "coordinator", p.args...)
}

// moveClock sets the time of day of a coordinator, up to two hours forward or back.
func (c *chaos) moveClock() {
	p := c.coords[c.rng.IntN(len(c.coords))]
	by := c.between(-2*time.Hour, 2*time.Hour)
	if err := os.WriteFile(filepath.Join(p.data, "clock"), []byte(by.String()), 0o600); err != nil {
		c.t.Error(err)
	}
}
