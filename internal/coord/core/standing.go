package core

import "github.com/longtake/longtake/internal/job"

// standing is what a round of decisions says of a job that waits.
type standing struct {
	why string
	// ahead is how many jobs go before it, where the scheduler has counted them.
	ahead   int
	counted bool
	round   uint64 // the latest that has said so
}

// standings are those of one round. Where hundreds of jobs wait, a round leaves nearly all as they
// were: so they are written over in leader.waiting, and none is made anew.
type standings struct {
	l       *leader
	noted   int
	changed []job.ID // jobs that wait for another reason than before
}

// note says how a job stands in this round.
func (s *standings) note(id job.ID, is standing) {
	is.round = s.l.round
	was := s.l.waiting[id]
	if was == nil {
		was = new(standing)
		s.l.waiting[id] = was
	}

	if was.why != is.why {
		s.changed = append(s.changed, id)
	}
	if was.round != is.round {
		s.noted++
	}
	*was = is
}

// end forgets jobs of which this round has not said that they wait, and tells watchers of those
// that wait for another reason.
func (s *standings) end() {
	if len(s.l.waiting) > s.noted {
		for id, w := range s.l.waiting {
			if w.round != s.l.round {
				delete(s.l.waiting, id)
			}
		}
	}
	for _, id := range s.changed {
		s.l.c.observer.JobChanged(id)
	}
}
