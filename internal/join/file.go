package join

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/longtake/longtake/internal/pki"
	"github.com/longtake/longtake/internal/userfile"
)

// FileName is beside the certificates that a cluster keeps up to date.
const FileName = "cluster.json"

// fileMax bounds it, in bytes.
const fileMax = 1 << 20

// File says where the coordinators are, as they told when they were last asked.
type File struct {
	Coordinators []string `json:"coordinators"` // URLs
	Control      string   `json:"control"`      // their NATS, separated by commas
	// First says that pki init has signed the certificate, of which the cluster knows nothing: it is
	// renewed as soon as a coordinator can.
	First bool `json:"first,omitempty"`
}

// ReadFile reads the file of a folder; false if there is none: then the certificates are somebody
// else's to renew. A file that cannot be read is an error, and no sign of either.
func ReadFile(dir string) (f File, ok bool, err error) {
	path := filepath.Join(dir, FileName)
	data, err := userfile.Read(path, fileMax)
	if errors.Is(err, fs.ErrNotExist) {
		return f, false, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		return f, false, fmt.Errorf("cannot read %s: %w", path, err)
	}
	return f, true, nil
}

// Write writes the file into a folder. It has no secrets: who reads it learns where the
// coordinators are.
func (f File) Write(dir string) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return pki.WriteFile(filepath.Join(dir, FileName), append(data, '\n'), 0o644)
}

// equal reports whether two files say the same. Lists in another order count as different: they are
// asked in that order.
func (f File) equal(g File) bool {
	return f.First == g.First && f.Control == g.Control && slices.Equal(f.Coordinators, g.Coordinators)
}
