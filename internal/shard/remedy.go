package shard

import (
	"errors"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model"
)

// remedy says of numbers that are not finite what is known of the weights, and what may help.
func (s *Shard) remedy(w *work, err error) string {
	if _, weights := errors.AsType[*model.DamagedError](err); weights {
		return ""
	}
	if w.order.Plan.Spec.DType == compute.BF16.String() {
		return "; the weights were finite when they were loaded: dtype fp32 may have room for it"
	}
	return "; the weights were finite when they were loaded: the model's numbers outgrew their " +
		"type, or this machine miscalculates"
}
