package coord

import "github.com/longtake/longtake/internal/config"

// ReadStorage reads what bounds the disk of a coordinator. An error is a *config.Error.
func ReadStorage(v *config.Values, l *Limits) error {
	l.Disk, l.Reserve = v.Bytes("limits.disk"), v.Bytes("limits.disk-reserve")
	l.KeepFor, l.KeepBytes = v.Duration("limits.keep-for"), v.Bytes("limits.keep-bytes")
	if l.KeepFor < 0 {
		return config.Errorf("limits.keep-for is %v; allowed: from 0s", l.KeepFor)
	}
	return nil
}
