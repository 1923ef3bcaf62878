package schema

import "github.com/longtake/longtake/internal/audit"

// AuditStatus is where the audit log stands on the coordinator that was asked.
type AuditStatus struct {
	Coordinator string `json:"coordinator"`
	// Head is the end of the chain by what was decided, Files is what the coordinator's files have.
	// The two agree unless something is wrong with the files.
	Head  audit.Head  `json:"head"`
	Files audit.State `json:"files"`
}
