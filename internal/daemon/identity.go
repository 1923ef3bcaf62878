package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/longtake/longtake/internal/config"
	"github.com/longtake/longtake/internal/pki"
)

// Identity reads the certificate that the setting tls.dir names, which has to be one of a role, and
// follows it. nil: tls.dir is not set, so the cluster is open. The caller closes it.
func Identity(v *config.Values, role pki.Role, log *slog.Logger) (*pki.Identity, error) {
	dir := v.String("tls.dir")
	if dir == "" {
		return nil, nil //nolint:nilnil // open
	}
	// A folder that is empty or not there yet is a first start, most often without --join.
	i, err := pki.LoadAs(dir, role)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; a process without a certificate gets one by --join TOKEN (longtake "+
			"pki token --role %s), the first coordinators theirs from longtake pki init", err, role)
	}
	if err != nil {
		return nil, err
	}

	i.Log(log)
	log.Info("certificate", "id", i.ID().URI(), "until", i.Leaf().NotAfter.UTC(), "cas", len(i.CAs()))
	return i, nil
}
