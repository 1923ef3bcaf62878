package cli

import (
	"context"
	"fmt"

	"github.com/longtake/longtake/internal/bench/serve"
	"github.com/longtake/longtake/internal/bench/target"
	"github.com/longtake/longtake/internal/config"
)

// The reference is reached before the first clip is made: a wrong address would else be found out
// after hours of measuring. It is asked what it is, and for nothing else until the end.

// openReference reaches the server that clips are compared with, whose files are read. end gives it
// up.
func (b *serveBench) openReference(ctx context.Context) (end func() error, err error) {
	one := *b
	one.setup.Embedded = false
	one.target = target.Options{URL: b.setup.Reference, Dialect: target.Auto, Key: b.target.Key,
		CA: b.target.CA, Content: true}
	t, err := one.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("--reference: %w", err)
	}

	s, err := t.Describe(ctx)
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("--reference: %w", err)
	}

	b.reference = &serve.Reference{Name: config.Redact(b.setup.Reference), Target: t,
		Ours: s.Dialect == "longtake"}
	return t.Close, nil
}
