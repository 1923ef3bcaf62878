package coord

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/longtake/longtake/internal/coord/core"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// guardedLog is Raft's log on a disk that may lose or change what was written. What cannot be read
// ends the coordinator with a line that says so, where Raft and bbolt would panic; what comes from
// another coordinator and is damaged is not taken.
type guardedLog struct {
	store   *raftboltdb.BoltStore
	running atomic.Bool // Raft's goroutines call
	// fatal hears once why this coordinator cannot go on.
	fatal func(error)
}

// guarded runs f; a panic, or a page that is not there any more, becomes an error that wraps
// core.ErrCorrupt.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %.200v", core.ErrCorrupt, p)
		}
	}()
	return f()
}

// read runs f, which has to succeed. Raft panics where its log fails: its goroutine ends before.
func (g *guardedLog) read(f func() error) error {
	err := guarded(f)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) || errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return err
	}
	if g.running.Load() {
		g.fatal(fmt.Errorf("cannot read raft.db: %w", err))
		runtime.Goexit()
	}
	return err
}

// FirstIndex implements raft.LogStore.
func (g *guardedLog) FirstIndex() (n uint64, err error) {
	err = g.read(func() error { n, err = g.store.FirstIndex(); return err })
	return n, err
}

// LastIndex implements raft.LogStore.
func (g *guardedLog) LastIndex() (n uint64, err error) {
	err = g.read(func() error { n, err = g.store.LastIndex(); return err })
	return n, err
}

// GetLog implements raft.LogStore.
func (g *guardedLog) GetLog(i uint64, l *raft.Log) error {
	return g.read(func() error { return g.store.GetLog(i, l) })
}

// StoreLog implements raft.LogStore.
func (g *guardedLog) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (g *guardedLog) StoreLogs(all []*raft.Log) error {
	for _, l := range all {
		if err := checkEntry(l); err != nil {
			return fmt.Errorf("cannot take entry %d of the log: %w", l.Index, err)
		}
	}
	return g.write(func() error { return g.store.StoreLogs(all) })
}

// write runs f. That the disk is full is for Raft to know; that the file is damaged ends all.
func (g *guardedLog) write(f func() error) error {
	err := guarded(f)
	if errors.Is(err, core.ErrCorrupt) && g.running.Load() {
		g.fatal(fmt.Errorf("cannot write raft.db: %w", err))
	}
	return err
}

// DeleteRange implements raft.LogStore.
func (g *guardedLog) DeleteRange(first, last uint64) error {
	return g.write(func() error { return g.store.DeleteRange(first, last) })
}

// Set implements raft.StableStore.
func (g *guardedLog) Set(k, v []byte) error {
	return g.write(func() error { return g.store.Set(k, v) })
}

// Get implements raft.StableStore.
func (g *guardedLog) Get(k []byte) (v []byte, err error) {
	err = g.read(func() error { v, err = g.store.Get(k); return err })
	return v, err
}

// SetUint64 implements raft.StableStore.
func (g *guardedLog) SetUint64(k []byte, v uint64) error {
	return g.write(func() error { return g.store.SetUint64(k, v) })
}

// GetUint64 implements raft.StableStore.
func (g *guardedLog) GetUint64(k []byte) (v uint64, err error) {
	err = g.read(func() error { v, err = g.store.GetUint64(k); return err })
	return v, err
}

// Close closes the file.
func (g *guardedLog) Close() error { return guarded(g.store.Close) }

// checkEntry reports whether an entry is one that can be applied.
func checkEntry(l *raft.Log) error {
	switch l.Type {
	case raft.LogCommand:
		return core.CheckEntry(l.Data)
	case raft.LogConfiguration:
		return guarded(func() error { raft.DecodeConfiguration(l.Data); return nil })
	case raft.LogNoop, raft.LogBarrier:
		return nil
	}
	return fmt.Errorf("%w: an entry of kind %v", core.ErrCorrupt, l.Type)
}
