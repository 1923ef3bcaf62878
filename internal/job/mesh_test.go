package job

import "testing"

func TestParseMesh(t *testing.T) {
	for s, want := range map[string]Mesh{
		"cfg=2,ulysses=3":             {CFG: 2, Ulysses: 3},
		"ulysses=4":                   {CFG: 1, Ulysses: 4},
		" ulysses=2 , cfg=2,window=1": {CFG: 2, Ulysses: 2},
		"window=3":                    {Window: 3, CFG: 1, Ulysses: 1},
		"cfg=2,window=2":              {Window: 2, CFG: 2, Ulysses: 1},
	} {
		m, ok := parseMesh(s)
		if back, ok2 := parseMesh(want.String()); !ok || m != want || !ok2 || back != m {
			t.Errorf("%q: %v, %v", s, m, ok)
		}
	}
	for _, s := range []string{"cfg", "cfg=0", "cfg=1,cfg=1", "ring=2", "ulysses=x",
		"window=0", "cfg=9999"} {
		if m, ok := parseMesh(s); ok {
			t.Errorf("%q was read as %v", s, m)
		}
	}
}
