package userfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadHoldsItsLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("12345678"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := Read(path, 8); err != nil || string(b) != "12345678" {
		t.Errorf("8 bytes of 8: %q, %v", b, err)
	}
	if _, err := Read(path, 7); err == nil || !strings.Contains(err.Error(), "allowed: up to 7") {
		t.Errorf("7 bytes of 8: %v", err)
	}
	m := fstest.MapFS{"x": {Data: []byte("123")}, "d/y": {}}
	if _, err := ReadFS(m, "x", 2); err == nil {
		t.Error("2 bytes of 3 in a file system")
	}
	if _, err := ReadFS(m, "d", 2); err == nil || !strings.Contains(err.Error(), "a folder") {
		t.Errorf("a folder: %v", err)
	}
}

// grown is a file that says it is empty and never ends.
type grown struct{ fs.File }

func (g grown) Read(p []byte) (int, error) { return len(p), nil }

type endless struct{ fstest.MapFS }

func (e endless) Open(name string) (fs.File, error) {
	f, err := e.MapFS.Open(name)
	return grown{f}, err
}

func TestTheSizeThatAFileSaysIsNotTrusted(t *testing.T) {
	_, err := ReadFS(endless{fstest.MapFS{"x": {}}}, "x", 1000)
	if err == nil || !strings.Contains(err.Error(), "more than 1000 bytes") {
		t.Errorf("an endless file: %v", err)
	}
}

func TestDirIsAFileSystem(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a", "b/c"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := fstest.TestFS(Dir(root), "a", "b/c"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"../x", "/etc/passwd", "a/../b"} {
		if _, err := Dir(root).Open(name); err == nil {
			t.Errorf("%s is opened", name)
		}
	}
}

func TestWhat(t *testing.T) {
	for head, want := range map[string]string{
		"":                                  "empty",
		"version https://git-lfs.github.co": "LFS",
		"\ufeff  <!doctype HTML><html>":     "web page",
		"<html lang=en>":                    "web page",
		"<?xml version='1.0'?>":             "XML",
		"Access to model x is restricted":   "a text that begins with",
		"{\"error\": \"Not Found\"}":        "a text that begins with",
		strings.Repeat("é", WhatBytes):      "a text that begins with",
		"\x1f\x8b\x08\x00":                  "gzip",
		"\x00\x00\x00\x00\x00":              "zeros",
		"\x01\x02\x03":                      "",
		"abc\x00def":                        "",
	} {
		if got := What([]byte(head)); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%.20q is %q; want %q", head, got, want)
		}
	}
}

func FuzzWhat(f *testing.F) {
	f.Add([]byte("<html>"))
	f.Add([]byte("\x80\x04"))
	f.Fuzz(func(t *testing.T, head []byte) {
		if what := What(head); strings.ContainsAny(what, "\n\x1b") {
			t.Errorf("%q", what)
		}
	})
}
