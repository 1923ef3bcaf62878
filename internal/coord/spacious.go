package coord

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/longtake/longtake/internal/disk"
)

const (
	// logBytesMax is about how large entries of the log may be together before a snapshot takes their
	// place, and snapshotAfter how many they may be. Raft itself counts entries alone, of which some
	// are a thousand times larger than others, and looks every few minutes.
	logBytesMax   = 32 << 20
	snapshotAfter = 2048
	// trailingMax is how many entries are kept behind a snapshot, for coordinators that lag a little.
	trailingMax, trailingMin = 1024, 16
)

// spaciousLog is Raft's log, which takes what was kept back when the disk is full: with a log that
// cannot be written a leader resigns, and nobody is elected. It counts what is written.
type spaciousLog struct {
	*guardedLog
	space *space
	done  chan struct{} // closed when Raft is to stop

	mu             sync.Mutex
	bytes, entries int64 // since the last snapshot that was asked for
	// allBytes and allEntries count since the start.
	allBytes, allEntries int64
}

var (
	_ raft.LogStore    = (*spaciousLog)(nil)
	_ raft.StableStore = (*spaciousLog)(nil)
)

// StoreLog implements raft.LogStore.
func (s *spaciousLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *spaciousLog) StoreLogs(all []*raft.Log) error {
	s.mu.Lock()
	for _, l := range all {
		n := int64(len(l.Data))
		s.bytes, s.entries = s.bytes+n, s.entries+1
		s.allBytes, s.allEntries = s.allBytes+n, s.allEntries+1
	}
	s.mu.Unlock()
	return s.space.spend(func() error { return s.guardedLog.StoreLogs(all) })
}

// all returns what was written since the start.
func (s *spaciousLog) all() (entries, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allEntries, s.allBytes
}

// DeleteRange implements raft.LogStore.
func (s *spaciousLog) DeleteRange(first, last uint64) error {
	return s.space.spend(func() error { return s.guardedLog.DeleteRange(first, last) })
}

// Set implements raft.StableStore.
func (s *spaciousLog) Set(k, v []byte) error {
	return s.space.spend(func() error { return s.guardedLog.Set(k, v) })
}

// SetUint64 implements raft.StableStore. Raft panics where the term cannot be written: on a full
// disk it waits for room instead, and does not stand for election meanwhile.
func (s *spaciousLog) SetUint64(k []byte, v uint64) error {
	for {
		err := s.space.spend(func() error { return s.guardedLog.SetUint64(k, v) })
		if err == nil || !s.running.Load() {
			return err
		}
		if !disk.IsFull(err) {
			s.fatal(fmt.Errorf("cannot write raft.db: %w", err))
			runtime.Goexit()
		}
		select {
		case <-s.done:
			runtime.Goexit()
		case <-time.After(spaceEvery):
		}
	}
}

// due reports whether more than so many bytes, or too many entries, were written since it last said
// so, and how many entries of that size may stay behind a snapshot.
func (s *spaciousLog) due(most int64) (trailing uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes < most && s.entries < snapshotAfter {
		return 0, false
	}
	mean := max(1, s.bytes/max(1, s.entries))
	s.bytes, s.entries = 0, 0
	return uint64(min(max(most/2/mean, trailingMin), trailingMax)), true //nolint:gosec // from 1
}

// shorten takes a snapshot where the log has become large, and lets go of what is before it.
func (c *consensus) shorten(most int64) error {
	n, ok := c.log.due(most)
	if !ok {
		return nil
	}
	r := c.raft.ReloadableConfig()
	r.TrailingLogs = n
	if err := c.raft.ReloadConfig(r); err != nil {
		return err
	}
	return c.raft.Snapshot().Error()
}
