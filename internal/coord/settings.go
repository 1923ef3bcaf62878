package coord

import (
	"time"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/daemon"
)

// RequestTime reads limits.request-time for a coordinator, whose own 0 is the default.
func RequestTime(v *config.Values) time.Duration {
	if d := v.Duration("limits.request-time"); d > 0 {
		return d
	}
	return -1
}

// ReadStorage reads what bounds the disk of a coordinator.
func ReadStorage(v *config.Values, l *Limits) error {
	l.Disk, l.Reserve = v.Bytes("limits.disk"), v.Bytes("limits.disk-reserve")
	l.KeepFor, l.KeepBytes = v.Duration("limits.keep-for"), v.Bytes("limits.keep-bytes")
	if l.KeepFor < 0 {
		return daemon.Usagef("limits.keep-for is %v; allowed: from 0s", l.KeepFor)
	}
	return nil
}
