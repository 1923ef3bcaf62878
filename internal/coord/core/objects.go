package core

import (
	"errors"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/job"
)

const (
	leaseTime = time.Hour // for an input to be stored, and a job to refer to it

	sweepMin = 4  // objects deleted at a time, and more
	sweepMax = 32 // the more of them wait

	straysFirst = time.Minute // after a leader's start it looks for objects that nobody knows
	straysEvery = time.Hour   // and again
	straysMax   = 64          // of them at a time
)

// LeaseInput commits that an input is kept for an hour, or as long as a job refers to it. It has to
// be committed before the input is stored, so that the input is deleted again whatever happens.
// done is called, perhaps from within, once no deletion is under way that may take an earlier copy
// of it. It gets ErrNotLeader, ErrNoSpace, or ErrQueueFull if too many inputs wait for their jobs.
func (c *Core) LeaseInput(o job.Object, done func(error)) {
	c.onceDeleted(func() {
		if err := c.hasRoom(); err != nil {
			done(fmt.Errorf("cannot store an input: %w", err))
			return
		}
		done(c.lease(o))
	})
}

// lease keeps an object from being deleted for a while.
func (c *Core) lease(o job.Object) error {
	if !c.Leads() {
		return ErrNotLeader
	}
	_, err := c.commit(command{Kind: kindLease,
		Lease: &lease{Object: o, Until: c.cfg.Now().Add(leaseTime)}})
	return err
}

// The trash holds the objects that are to be deleted. Strays are objects of the store that are
// neither in the trash nor referred to by a job; they get a lease first, which puts them into the
// trash.

// sweep deletes a few objects that no job refers to any more. No job is placed meanwhile, since its
// ranks might store such an object again, nor is one given to a job (see onceDeleted).
func (l *leader) sweep() {
	spare, gone := l.c.machine.sweepable(l.lapsed())
	if l.c.deleting || len(spare)+len(gone) == 0 || !l.ownsStore() {
		return
	}
	gone = gone[:min(len(gone), max(sweepMin, min(len(gone)/8, sweepMax)))]
	if len(gone) == 0 {
		l.recordSweep(nil, spare)
		return
	}

	// The term may end before the answer comes: deleting goes on until then all the same.
	l.c.deleting = true
	l.c.world.Objects().Delete(gone, func(deleted []string) {
		if l.inTerm() && len(spare)+len(deleted) > 0 {
			l.recordSweep(deleted, spare)
		}
		l.c.endDeletion()
	})
}

func (l *leader) recordSweep(deleted, spared []string) {
	_, err := l.c.commit(command{Kind: kindSwept, Swept: deleted, Spared: spared})
	if err != nil {
		l.c.log.Warn("cannot record a sweep", "error", err)
	}
}

// endDeletion lets those calls go on that had to wait for it.
func (c *Core) endDeletion() {
	waiting := c.afterDelete
	c.deleting, c.afterDelete = false, nil
	c.wake()
	for _, f := range waiting {
		f()
	}
}

// leaseStrays puts objects into the trash that nobody knows: an attempt has stored them and ended
// before they were recorded. What is being stored at present has the time of a lease to be
// recorded.
func (l *leader) leaseStrays() {
	now := l.c.cfg.Clock()
	if !l.ownsStore() || now.Before(l.nextStraySweep) {
		return
	}
	l.nextStraySweep = now.Add(straysEvery)

	// What completes from here on may be stored after the list was made, and is not missing then.
	done := l.c.machine.Records(func(r *job.Record) bool { return r.State == job.Completed })
	l.c.world.Objects().List(func(names []string, err error) {
		if !l.inTerm() {
			return
		}
		if err != nil {
			l.c.log.Warn("cannot look for objects that nobody knows", "error", err)
			return
		}
		l.noteMissing(done, names)
		strays := l.c.machine.unknown(names)
		for _, o := range strays[:min(len(strays), straysMax)] {
			if err := l.c.lease(o); err != nil {
				l.c.log.Warn("cannot put an object into the trash that nobody knows", "object", o.Name,
					"error", err)
				return
			}
		}
	})
}

// noteMissing notes which results of jobs, which were complete before, are not among the names of
// objects. A store that has lost some, after a crash of a machine or on a bad disk, does not say
// so.
func (l *leader) noteMissing(done []job.Record, names []string) {
	there := make(map[string]bool, len(names))
	for _, n := range names {
		there[n] = true
	}
	for _, r := range done {
		for _, o := range []job.Object{r.Result.Video, r.Result.Latents} {
			if o.Name != "" && !there[o.Name] {
				l.c.damage.note(o, ErrNotFound)
				l.c.log.Error("an object is gone; a retry of its job makes it again", "job", r.ID,
					"object", o.Name)
			}
		}
	}
}

// A store may lose objects, or their bytes may decay; the job that made them can make them again.
// So what is wrong with an object is not replicated: it is noticed by reading, and shown with the
// job.

// damage remembers which objects were found damaged or gone, by name, until they are found whole.
type damage map[string]string

// damageMax bounds how many objects are remembered.
const damageMax = 4096

// note takes what reading an object gave: ErrDamaged, ErrNotFound, nil, or what says nothing of it.
func (d damage) note(o job.Object, err error) {
	switch {
	case err == nil:
		delete(d, o.Name)
	case errors.Is(err, ErrDamaged) && len(d) < damageMax:
		d[o.Name] = "damaged"
	case errors.Is(err, ErrNotFound) && len(d) < damageMax:
		d[o.Name] = "gone"
	}
}

// of says what is wrong with what a completed job left behind, "" if nothing is known.
func (d damage) of(r job.Record) string {
	for _, x := range []struct {
		what string
		o    job.Object
	}{{"clip", r.Result.Video}, {"file of latents", r.Result.Latents}} {
		if why := d[x.o.Name]; why != "" && r.State == job.Completed {
			return fmt.Sprintf("the %s is %s in the object store; a retry makes the same one again",
				x.what, why)
		}
	}
	return ""
}

// NoteObject takes what reading an object for a client gave; see View.Damage. It may be called
// among the reads, since no decision looks at that.
func (c *Core) NoteObject(o job.Object, err error) { c.damage.note(o, err) }
