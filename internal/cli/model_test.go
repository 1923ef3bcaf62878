package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const vaeWeights = "vae/diffusion_pytorch_model.safetensors"

// verified is a copied model and what `longtake model verify` says of it.
type verified struct {
	t     *testing.T
	dir   string
	lists string // folder of lists
	first string
}

func newVerified(t *testing.T) *verified {
	v := &verified{t: t, dir: filepath.Join(t.TempDir(), "model"), lists: t.TempDir()}
	if err := os.CopyFS(v.dir, os.DirFS(tiny())); err != nil {
		t.Fatal(err)
	}
	o := longtake(t, "model", "verify", v.dir)
	if o.code != 0 || !strings.Contains(o.out, "# fingerprint w2-") {
		t.Fatalf("%+v", o)
	}
	v.first = o.out
	return v
}

// check compares the model with a list.
func (v *verified) check(list string, code int, says ...string) {
	v.t.Helper()
	name := filepath.Join(v.lists, "sums")
	if err := os.WriteFile(name, []byte(list), 0o600); err != nil {
		v.t.Fatal(err)
	}
	o := longtake(v.t, "model", "verify", v.dir, "--sums", name)
	if o.code != code {
		v.t.Errorf("code %d, want %d: %s%s", o.code, code, o.out, o.err)
	}
	for _, s := range says {
		if !strings.Contains(o.out+o.err, s) {
			v.t.Errorf("no %q in %s%s", s, o.out, o.err)
		}
	}
}

// TestModelVerifyReadsLists compares a model with lists as several programs write them, and with
// some that are none.
func TestModelVerifyReadsLists(t *testing.T) {
	v := newVerified(t)
	v.check(v.first, 0, vaeWeights+": OK")
	v.check(strings.ToUpper(v.first[:64])+v.first[64:], 0)
	v.check(strings.ReplaceAll(v.first, "  ", " *./"), 0, vaeWeights+": OK")
	v.check(strings.ReplaceAll(v.first, "\n", "\r\n"), 0)
	var bsd, onlyWeights, noWeights strings.Builder
	for line := range strings.Lines(v.first) {
		sum, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok {
			continue
		}
		bsd.WriteString("SHA256 (" + file + ") = " + sum + "\n")
		if strings.HasSuffix(file, ".safetensors") {
			onlyWeights.WriteString(line)
		} else {
			noWeights.WriteString(line)
		}
	}
	v.check(bsd.String(), 0, vaeWeights+": OK")
	v.check(onlyWeights.String(), 0, "vae/config.json: NOT LISTED")
	v.check(noWeights.String(), 1, vaeWeights+": NOT LISTED")
	sum := v.first[:64]
	v.check(v.first+sum+"  vae/more.safetensors\n", 1, "vae/more.safetensors: MISSING")
	for _, bad := range []string{"", "# nothing\n", "hello", v.first[:60], "x" + v.first,
		sum + "  ../secret", sum + "  /etc/passwd",
		v.first + strings.Repeat("0", 64) + "  " + vaeWeights + "\n"} {
		v.check(bad, 2, "allowed:")
	}
}

// TestModelVerifyFindsDamage damages a model in ways that people meet.
func TestModelVerifyFindsDamage(t *testing.T) {
	v := newVerified(t)
	weights := filepath.Join(v.dir, filepath.FromSlash(vaeWeights))
	good, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(weights, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	changed := append([]byte{}, good...)
	changed[len(changed)/2] ^= 1 // the model still opens
	write(changed)
	v.check(v.first, 1, vaeWeights+": FAILED", "1 of the model's files")
	o := longtake(t, "model", "verify", v.dir, "--json")
	last := strings.TrimSpace(v.first[strings.LastIndex(v.first, "w2-"):])
	if o.code != 0 || !strings.Contains(o.out, `{"fingerprint":"w2-`) || strings.Contains(o.out, last) {
		t.Errorf("%+v, before %s", o, last)
	}

	write(good[:len(good)-1000]) // a download that broke off
	v.check(v.first, 1, vaeWeights+": FAILED", "1 of the model's files")

	for i := range 4 {
		good[len(good)-1-i] = 0xff
	}
	write(good)
	if o := longtake(t, "model", "verify", v.dir); o.code != 1 || !strings.Contains(o.err, "is NaN at") {
		t.Errorf("%+v", o)
	}
	for _, args := range [][]string{{v.dir + "/no"}, {}, {v.dir, v.dir}, {v.dir, "--sums", "/no"}} {
		if o := longtake(t, append([]string{"model", "verify"}, args...)...); o.code != 2 {
			t.Errorf("%q: %+v", args, o)
		}
	}
}
