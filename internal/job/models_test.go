package job

import "testing"

func TestModels(t *testing.T) {
	all := Models{{Name: "a", Damage: "a weight is NaN"}, {Name: "b"}}.With(Model{Name: "c"})
	if m, _ := all.Default(); m.Name != "b" {
		t.Errorf("the default is %q, not the first that is not damaged", m.Name)
	}
	if m, err := all.Choose(""); err != nil || m.Name != "b" {
		t.Errorf("nothing chooses %q, %v", m.Name, err)
	}
	if m, err := all.Choose("c"); err != nil || m.Name != "c" {
		t.Errorf("c chooses %q, %v", m.Name, err)
	}
	const want = `model is "d"; allowed: "a", "b", "c"`
	if _, err := all.Choose("d"); err == nil || err.Error() != want {
		t.Errorf("d: %v; want %s", err, want)
	}

	mended := all.With(Model{Name: "a", Fingerprint: "f"}).Without("b")
	if m, _ := mended.Default(); len(mended) != 2 || m.Fingerprint != "f" || len(all) != 3 ||
		all[0].Fingerprint != "" {
		t.Errorf("%+v of %+v", mended, all)
	}
	if _, ok := (Models{}).Default(); ok {
		t.Error("no model is a default")
	}
}
