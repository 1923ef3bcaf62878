package coord

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// A log that is lost, or another one that is put in its place, knows none of the objects that are
// stored: all of them would go. So log and object store both have the id of the cluster, and what
// is stored is deleted only where it is the same.

// foreignEvery is how often a leader looks again whether a foreign object store has become its own.
const foreignEvery = time.Minute

// mark is the object by which an object store knows the cluster of an id.
func mark(id string) (data []byte, o job.Object) {
	data = fmt.Appendf(nil, "longtake cluster %s\n", id)
	o, err := artifact.Describe(context.Background(), bytes.NewReader(data))
	if err != nil {
		panic(fmt.Sprintf("coord: %v", err)) // bytes in memory can be read
	}
	return data, o
}

// belongs reports whether the objects are those of this log. The first leader of a cluster makes
// them so.
func (l *leader) belongs(s artifact.Store) bool {
	id, now := l.c.fsm.cluster(), l.c.cfg.Clock()
	if id != "" && id == l.own {
		return true
	}
	if now.Before(l.foreign) {
		return false
	}
	ctx, cancel := context.WithTimeout(l.ctx, sweepTime)
	defer cancel()
	ok, err := l.together(ctx, s, id)
	switch {
	case err != nil:
		l.c.log.Warn("cannot tell yet whether the object store belongs to this log", "error", err)
	case ok:
		l.own = l.c.fsm.cluster()
	default:
		l.foreign = now.Add(foreignEvery)
		l.c.log.Error("the object store belongs to another log than this one: nothing of it is "+
			"deleted; put back the log (raft.db and snapshots, or longtake cluster snapshot restore), or, "+
			"if its objects are not needed, stop all coordinators and remove nats from their data "+
			"directories", "data", l.c.cfg.Data, "cluster", id)
	}
	return ok && err == nil
}

// settled reports whether it is known whose the object store is. Before that no job is placed:
// what its ranks store would make the store of a new cluster look like another's, and another's
// like this one's.
func (l *leader) settled() bool {
	if l.c.broker == nil || l.c.fsm.cluster() != "" {
		return true
	}
	s := l.c.objects.Load()
	return s != nil && (l.belongs(*s) || l.c.cfg.Clock().Before(l.foreign))
}

// together looks for the mark of a cluster, or leaves the first one.
func (l *leader) together(ctx context.Context, s artifact.Store, id string) (bool, error) {
	if id != "" {
		_, o := mark(id)
		r, err := s.Get(ctx, o)
		if errors.Is(err, artifact.ErrNotFound) {
			return false, nil
		}
		if err == nil {
			err = r.Close()
		}
		return err == nil, err
	}
	names, err := s.List(ctx)
	if err != nil {
		return false, err
	}
	// A log of before there were ids is known by what it refers to.
	if strange := l.c.fsm.unknown(names); len(names) > 0 && len(strange) == len(names) {
		return false, nil
	}
	var b [16]byte
	l.c.random(b[:])
	id = "cluster_" + idEncoding.EncodeToString(b[:])
	data, _ := mark(id)
	if _, err := s.Put(ctx, bytes.NewReader(data)); err != nil {
		return false, err
	}
	_, err = l.c.commit(command{Kind: kindCluster, Cluster: id})
	return err == nil, err
}
