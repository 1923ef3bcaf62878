package pki

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write puts an identity into a folder, which it makes if it is not there: the key, the certificate
// and the CAs, each as PEM. What is nil stays as it is. Each file is replaced whole or not at all,
// the key first: processes that read the folder meanwhile keep what they have until all fits.
func Write(dir string, key, cert, cas []byte) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder of certificates: %w", err)
	}

	// The certificate comes last: whoever finds one finds what it needs beside it.
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{KeyFile, key, 0o600}, {CAFile, cas, 0o644}, {CertFile, cert, 0o644}} {
		if f.data == nil {
			continue
		}
		if err := WriteFile(filepath.Join(dir, f.name), f.data, f.mode); err != nil {
			return err
		}
	}
	return nil
}

// WriteFile replaces a file, or makes it: after a crash it is whole, as it was or as it should be.
func WriteFile(path string, data []byte, mode os.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write %s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()

	if _, err = f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = errors.Join(f.Chmod(mode), f.Sync()); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// CAKeyFile is where pki init leaves the CA's key, beside the other files of a first coordinator,
// until the cluster has taken it in.
const CAKeyFile = "ca.key"

// ReadAuthority reads the CA whose key is in a folder; the error is fs.ErrNotExist where none is. A
// key that others may read is refused, as with any other private key: it has to be replaced by
// another CA then, not by another mode.
func ReadAuthority(dir string) (*Authority, error) {
	path := filepath.Join(dir, CAKeyFile)
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	key, _, err := readKey(dir, CAKeyFile)
	if err != nil {
		return nil, err
	}
	cas, err := ReadCAs(dir)
	if err != nil {
		return nil, err
	}

	// Of several CAs the one that the key is of.
	for _, ca := range cas {
		var a *Authority
		if a, err = ParseAuthority(EncodeCerts(ca), key); err == nil {
			return a, nil
		}
	}
	return nil, fmt.Errorf("cannot use %s: %w", path, err)
}
