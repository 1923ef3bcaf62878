package coord

import (
	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/price"
	"github.com/longtake/longtake/internal/pricefile"
)

// ReadAudit reads what the audit log of a coordinator has, and how much of it is kept.
func ReadAudit(v *config.Values) AuditConfig {
	a := AuditConfig{Prompts: v.String("audit.prompts"), KeepBytes: v.Bytes("audit.keep-bytes"),
		KeepFor: v.Duration("audit.keep-for")}

	// 0 is a limit of its own for operators, and the default for who leaves it out in Go.
	if a.KeepBytes == 0 {
		a.KeepBytes = -1
	}
	return a
}

// ReadStorage reads what bounds the disk of a coordinator. An error is a *config.Error.
func ReadStorage(v *config.Values, l *Limits) error {
	l.Disk, l.Reserve = v.Bytes("limits.disk"), v.Bytes("limits.disk-reserve")
	l.KeepFor, l.KeepBytes = v.Duration("limits.keep-for"), v.Bytes("limits.keep-bytes")
	if l.KeepFor < 0 {
		return config.Errorf("limits.keep-for is %v; allowed: from 0s", l.KeepFor)
	}
	return nil
}

// ReadPricing is asked before anything starts, as all settings are: a sheet with a mistake keeps
// the program from running at no price at all.

// ReadPricing reads the price sheet that the settings name; nil: they name none. An error is a
// *config.Error.
func ReadPricing(v *config.Values) (*price.Sheet, error) {
	path := v.String("pricing")
	if path == "" {
		return nil, nil
	}
	return pricefile.Read(path)
}
