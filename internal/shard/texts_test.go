package shard

import (
	"testing"

	"github.com/longtake/longtake/internal/engine"
)

// TestForgetTexts wants ranks to be told of no cache, which is what has them encode every text: see
// engine.Texts.
func TestForgetTexts(t *testing.T) {
	s := &Shard{cfg: Config{Texts: &engine.TextCache{}, ForgetTexts: true}}
	if got := s.texts(t.Context(), &served{}); got.Scope != "" || got.Memory != nil ||
		got.Cluster != nil {
		t.Errorf("%+v", got)
	}
}
