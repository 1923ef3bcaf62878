package compute

import (
	"errors"

	"github.com/longtake/longtake/internal/tensor"
)

// Beside opens copies beside a device's operations, or in line with them where it has no others.
func Beside(dev Device) Copies {
	if c, ok := dev.(Copier); ok {
		return c.Copies()
	}
	return inLine{dev}
}

// inLine copies at once.
type inLine struct{ dev Device }

// Download implements Copies.
func (c inLine) Download(dst []byte, src Mat, t DType) func() error {
	var err error
	if t == BF16 {
		err = c.dev.DownloadBF16(dst, src)
	} else {
		err = c.dev.Download(tensor.Floats(dst), src)
	}
	return func() error { return err }
}

// Upload implements Copies.
func (c inLine) Upload(dst Mat, src []byte, t DType) error {
	switch {
	case IsTicket(src):
		return errors.New("a ticket came to a device that takes none")
	case t == BF16:
		c.dev.UploadBF16(dst, src)
	default:
		c.dev.Upload(dst, tensor.Floats(src))
	}
	return nil
}

// End implements Copies.
func (c inLine) End() {}
