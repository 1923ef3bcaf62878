// Package testlog keeps what a program under test logs, for tests that read it while the program
// goes on writing. Only tests import it.
package testlog

import (
	"bytes"
	"strings"
	"sync"
)

// Buffer is a bytes.Buffer that any number of goroutines may write to and read from at once. Its
// zero value is empty and ready to use.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p, whole; it never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns everything written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Count returns how many times text occurs in what was written so far, which for a log tells how
// often something was said.
func (b *Buffer) Count(text string) int { return strings.Count(b.String(), text) }
