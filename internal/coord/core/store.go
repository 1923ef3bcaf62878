package core

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/artifact"
	"github.com/longtake/longtake/internal/job"
)

// A log that is lost, or another one that is put in its place, knows none of the objects that are
// stored: all of them would be deleted. So log and object store both have the id of the cluster,
// and what is stored is deleted only where it is the same.

// foreignEvery is how often a leader looks again whether a foreign object store has become its own.
const foreignEvery = time.Minute

// mark is the object by which an object store knows the cluster of an id.
func mark(id string) (data []byte, o job.Object) {
	data = fmt.Appendf(nil, "longtake cluster %s\n", id)
	o, err := artifact.Describe(context.Background(), bytes.NewReader(data))
	if err != nil {
		panic(fmt.Sprintf("core: %v", err)) // bytes in memory can be read
	}
	return data, o
}

// ownsStore reports whether the objects are known to be those of this log. If that is not known yet
// it looks, and the answer counts from the next time on.
func (l *leader) ownsStore() bool {
	id, store := l.c.machine.Cluster(), l.c.world.Objects()
	switch {
	case store == nil:
		return false
	case id != "" && id == l.ownStore:
		return true
	case l.lookingAtStore || l.c.cfg.Clock().Before(l.foreignUntil):
		return false
	}

	l.lookingAtStore = true
	if id == "" {
		l.foundStore(store)
	} else {
		_, o := mark(id)
		store.Find([]job.Object{o}, func(missing *job.Object, err error) {
			if l.inTerm() {
				l.storeLookedAt(missing == nil, err)
			}
		})
	}
	return false
}

// storeSettled reports whether it is known whose the object store is. Before that no job is placed:
// what its ranks store would make the store of a new cluster look like another's, and another's
// like this one's.
func (l *leader) storeSettled() bool {
	return l.c.machine.Cluster() != "" ||
		l.ownsStore() || l.c.cfg.Clock().Before(l.foreignUntil)
}

// foundStore gives the cluster its id and leaves the mark of it in the store: the first leader of a
// cluster does that, unless all that is there is of somebody else.
func (l *leader) foundStore(store Objects) {
	store.List(func(names []string, err error) {
		if !l.inTerm() {
			return
		}
		// A log of the time before there were ids is known by what it refers to.
		unknown := l.c.machine.unknown(names)
		if err != nil || len(names) > 0 && len(unknown) == len(names) {
			l.storeLookedAt(false, err)
			return
		}

		var b [16]byte
		l.c.world.Random(b[:])
		id := "cluster_" + idEncoding.EncodeToString(b[:])
		data, _ := mark(id)
		store.Put(data, func(err error) {
			if !l.inTerm() {
				return
			}
			if err == nil {
				_, err = l.c.commit(command{Kind: kindCluster, Cluster: id})
			}
			l.storeLookedAt(err == nil, err)
		})
	})
}

// storeLookedAt takes what a look at the store has shown.
func (l *leader) storeLookedAt(own bool, err error) {
	l.lookingAtStore = false
	switch {
	case err != nil:
		l.c.log.Warn("cannot tell yet whether the object store belongs to this log", "error", err)
	case own:
		l.ownStore = l.c.machine.Cluster()
	default:
		l.foreignUntil = l.c.cfg.Clock().Add(foreignEvery)
		l.c.log.Error("the object store belongs to another log than this one: nothing of it is "+
			"deleted; put back the log (raft.db and snapshots, or longtake cluster snapshot restore), or, "+
			"if its objects are not needed, stop all coordinators and remove nats from their data "+
			"directories", "cluster", l.c.machine.Cluster())
	}
	l.c.wake()
}
