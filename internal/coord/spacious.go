package coord

import (
	"fmt"
	"runtime"

	"github.com/hashicorp/raft"
)

// spaciousLog is Raft's log, which takes what was kept back when the disk is full: with a log that
// cannot be written a leader resigns, and nobody is elected.
type spaciousLog struct {
	*guardedLog
	space *space
}

var (
	_ raft.LogStore    = (*spaciousLog)(nil)
	_ raft.StableStore = (*spaciousLog)(nil)
)

// StoreLog implements raft.LogStore.
func (s *spaciousLog) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (s *spaciousLog) StoreLogs(all []*raft.Log) error {
	return s.space.spend(func() error { return s.guardedLog.StoreLogs(all) })
}

// DeleteRange implements raft.LogStore.
func (s *spaciousLog) DeleteRange(first, last uint64) error {
	return s.space.spend(func() error { return s.guardedLog.DeleteRange(first, last) })
}

// Set implements raft.StableStore.
func (s *spaciousLog) Set(k, v []byte) error {
	return s.space.spend(func() error { return s.guardedLog.Set(k, v) })
}

// SetUint64 implements raft.StableStore. Raft panics where the term cannot be written.
func (s *spaciousLog) SetUint64(k []byte, v uint64) error {
	err := s.space.spend(func() error { return s.guardedLog.SetUint64(k, v) })
	if err != nil && s.running.Load() {
		s.fatal(fmt.Errorf("cannot write raft.db: %w", err))
		runtime.Goexit()
	}
	return err
}
