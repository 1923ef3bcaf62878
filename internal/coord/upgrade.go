package coord

import (
	"cmp"
	"fmt"
	"time"

	"github.com/longtake/longtake/internal/coord/core"
)

// speaks returns the newest version of commands that all coordinators read, and whom it waits for
// if that is not the newest that this one reads. Those that were not heard lately count as older
// ones, so that a cluster is not moved on while one of them is away. In a locked cluster there are
// no older ones: they have no certificates.
func (c *Coordinator) speaks() (version int, missing string) {
	own := c.cfg.Commands
	if c.cfg.alone() || c.cfg.Identity != nil {
		return own, ""
	}
	servers, err := c.cons.servers()
	if err != nil {
		return core.VersionFirst, err.Error()
	}

	version = own
	for _, s := range servers {
		id := string(s.ID)
		if id == c.cfg.ID {
			continue
		}
		theirs, program, heard := c.space.reads(id)
		if theirs = max(theirs, core.VersionFirst); theirs < own && missing == "" {
			missing = fmt.Sprintf("coordinator %s is out of reach", id)
			if heard {
				missing = fmt.Sprintf("coordinator %s runs longtake %s", id,
					cmp.Or(program, "of an older version"))
			}
		}
		version = min(version, theirs)
	}
	return version, missing
}

// reads returns which version of commands another coordinator reads, 0 if it has not said, and its
// program's version; heard is false if nothing was heard of it lately.
func (s *space) reads(id string) (version int, program string, heard bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.others[id]
	if !ok || time.Since(t.at) > spaceTrust {
		return 0, "", false
	}
	return t.disk.Commands, t.disk.Version, true
}
