package engine

import (
	"errors"

	"github.com/longtake/longtake/internal/model"
	"github.com/longtake/longtake/internal/tensor"
)

// Permanent reports whether another attempt would end with the same error: the same numbers come
// again, so values or weights that are not finite stay so, as does a LoRA for another model, and a
// transformer that is missing. Errors of peers, of the store and of a full disk are not permanent:
// another attempt has other nodes, or comes later.
func Permanent(err error) bool {
	_, values := errors.AsType[*tensor.NotFiniteError](err)
	_, weights := errors.AsType[*model.DamagedError](err)
	_, missing := errors.AsType[*MissingExpertError](err)
	_, loras := errors.AsType[*LoRAError](err)
	return values || weights || missing || loras
}
