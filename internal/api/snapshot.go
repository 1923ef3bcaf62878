package api

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	"github.com/longtake/longtake/internal/coord"
)

// withSnapshot gives f a temporary file, one at a time: a snapshot may have hundreds of megabytes.
// While one is at work, others are answered 503. The file is removed when f returns.
func (s *server) withSnapshot(f func(*os.File) error) error {
	select {
	case s.snapshots <- struct{}{}:
		defer func() { <-s.snapshots }()
	default:
		return overloaded("another snapshot is being saved or restored; try again")
	}

	file, err := os.CreateTemp("", "longtake-snapshot-*")
	if err != nil {
		return fmt.Errorf("cannot create a temporary file: %w", err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return f(file)
}

// saveSnapshot writes the coordinators' state to a file first, and then sends that: a slow reader
// keeps nothing in memory, and an error on the way is told before the first byte of the answer.
func (s *server) saveSnapshot(w http.ResponseWriter, r *http.Request) error {
	return s.withSnapshot(func(f *os.File) error {
		if err := s.service.SaveSnapshot(r.Context(), f); err != nil {
			return err
		}

		n, err := f.Seek(0, io.SeekCurrent)
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err != nil {
			return fmt.Errorf("cannot read the snapshot: %w", err)
		}

		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		if r.Method != http.MethodHead {
			io.Copy(w, f) //nolint:errcheck // the reader has left
		}
		return nil
	})
}

// restoreSnapshot receives all of a snapshot before anything is done with it, and answers with the
// cluster as it is then. A snapshot that breaks off in transit changes nothing. One that cannot be
// read is coord.ErrSnapshot, a 422.
func (s *server) restoreSnapshot(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength > coord.SnapshotMax {
		return tooLarge(&http.MaxBytesError{Limit: coord.SnapshotMax})
	}
	return s.withSnapshot(func(f *os.File) error {
		if _, err := io.Copy(f, http.MaxBytesReader(w, r.Body, coord.SnapshotMax)); err != nil {
			return tooLarge(bodyError("the snapshot", err))
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("cannot read the snapshot: %w", err)
		}
		if err := s.service.RestoreSnapshot(r.Context(), f); err != nil {
			return err
		}
		return s.cluster(w, r)
	})
}
