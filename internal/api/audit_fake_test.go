package api

import (
	"context"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/audit"
)

// auditFake is the audit log of a fake coordinator.
type auditFake struct {
	lines   [][]byte
	query   audit.Query
	refused []string
}

func (f *fake) Audit(_ context.Context, q audit.Query, each func([]byte) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.audit.query = q
	for _, l := range f.audit.lines {
		if err := each(l); err != nil {
			return err
		}
	}
	return f.err
}

func (f *fake) AuditStatus(context.Context) (schema.AuditStatus, error) {
	return schema.AuditStatus{Coordinator: "c1", Files: audit.State{First: 1}}, f.err
}

func (f *fake) Refused(_ context.Context, action, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.audit.refused = append(f.audit.refused, action+" "+reason)
}

// audited gives the log n entries.
func (f *fake) audited(n int) (h audit.Head) {
	for range n {
		var e audit.Entry
		e, h = h.Next(audit.Entry{Time: time.Unix(1, 0), Action: "video.create", Outcome: audit.OK})
		f.audit.lines = append(f.audit.lines, e.Line())
	}
	return h
}
