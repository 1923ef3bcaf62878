package engine

import (
	"errors"

	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
)

// InputError says that a stored input, whole as it is, is not what the job says: no picture, or no
// clip of that many frames.
type InputError struct{ Err error }

// Error implements error.
func (e *InputError) Error() string { return "what is stored cannot be used: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *InputError) Unwrap() error { return e.Err }

// Permanent reports whether another attempt would end with the same error: the same numbers come
// again, so values or weights that are not finite stay so, as does a LoRA for another model, a
// transformer that is missing, and an input that is not what it should be. Errors of peers, of the
// store and of a full disk are not permanent: another attempt has other nodes, or comes later.
func Permanent(err error) bool {
	_, values := errors.AsType[*tensor.NotFiniteError](err)
	_, weights := errors.AsType[*model.DamagedError](err)
	_, missing := errors.AsType[*MissingExpertError](err)
	_, loras := errors.AsType[*LoRAError](err)
	_, input := errors.AsType[*InputError](err)
	return values || weights || missing || loras || input
}
