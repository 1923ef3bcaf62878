package schema

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// TestPatches holds that a difference leads from one object to the other.
func TestPatches(t *testing.T) {
	leaf := rapid.SampledFrom([]any{"a", "b", true, []any{"x"}, []any{}})
	inner := rapid.MapOfN(rapid.SampledFrom([]string{"p", "q", "r"}), leaf, 0, 3)
	value := rapid.OneOf(leaf, rapid.Map(inner, func(m map[string]any) any { return m }))
	outer := rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c"}), value, 0, 3)
	rapid.Check(t, func(rt *rapid.T) {
		from, to := outer.Draw(rt, "from"), outer.Draw(rt, "to")
		patch := Difference(from, to)
		if got := merge(from, patch); !reflect.DeepEqual(got, to) {
			rt.Fatalf("%v + %v = %v, want %v", from, patch, got, to)
		}
	})
}

func FuzzPatch(f *testing.F) {
	f.Add(`{"progress":3,"longtake":{"done":2,"waiting":null}}`)
	f.Add(`{"longtake":{"spec":{"seed":18446744073709551615}}}`)
	f.Fuzz(func(_ *testing.T, patch string) {
		v, err := mergePatch(Video{ID: "a", Prompt: "p"}, []byte(patch))
		if err == nil {
			encode(v)
		}
	})
}
