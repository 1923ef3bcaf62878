package api

import (
	"errors"
	"net/http"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/rollout"
)

// Rollouts are for administrators. What they lead to is told to others where they are refused:
// explainRollout.

// rollouts lists the rules, and what there can be rules about.
func (s *server) rollouts(w http.ResponseWriter, r *http.Request) error {
	all, err := s.service.Rollouts(r.Context())
	if err != nil {
		return err
	}
	out := schema.RolloutList{Object: "list", Data: []schema.Rollout{}, Features: rollout.Names()}
	for _, rule := range all {
		out.Data = append(out.Data, toRollout(rule))
	}
	reply(w, http.StatusOK, out)
	return nil
}

// toRollout is a rule as the API shows it.
func toRollout(r rollout.Rule) schema.Rollout {
	return schema.Rollout{Object: "rollout", Name: r.Name, Percent: r.Percent,
		Keys: append([]string{}, r.Keys...), Deny: append([]string{}, r.Deny...)}
}

// getRollout shows one rule, and with owner in the query whether that key may use what it is about.
// Without a rule the answer is that of a name that is open to all.
func (s *server) getRollout(w http.ResponseWriter, r *http.Request) error {
	v, err := s.service.MayUse(r.Context(), r.PathValue("name"), r.URL.Query().Get("owner"))
	if err != nil {
		return err
	}
	out := schema.Rollout{Object: "rollout", Name: v.Name, Percent: 100, Keys: []string{},
		Deny: []string{}, Open: true}
	if v.Rule != nil {
		out = toRollout(*v.Rule)
	}
	if v.Owner != "" {
		out.Owner, out.Allowed, out.Why = v.Owner, &v.Allowed, v.Why
	}
	reply(w, http.StatusOK, out)
	return nil
}

// setRollout puts a rule in place of the one before, all of it: what is left out is nobody.
func (s *server) setRollout(w http.ResponseWriter, r *http.Request) error {
	var q schema.RolloutChange
	if err := readBody(w, r, &q, "percent, keys, deny"); err != nil {
		return err
	}
	rule, err := s.service.SetRollout(r.Context(), rollout.Rule{Name: r.PathValue("name"),
		Percent: q.Percent, Keys: q.Keys, Deny: q.Deny})
	if err == nil {
		reply(w, http.StatusOK, toRollout(rule))
	}
	return err
}

// deleteRollout takes a rule away: everybody may use what it was about.
func (s *server) deleteRollout(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := s.service.DeleteRollout(r.Context(), name); err != nil {
		return err
	}
	reply(w, http.StatusOK, map[string]any{"name": name, "object": "rollout.deleted", "deleted": true})
	return nil
}

// explainRollout answers for a model or a feature that is not rolled out to who asks; nil: the
// error is another one. It is a 403, and not a 400: the request is right, and may be taken from
// others.
func explainRollout(err error) *schema.Error {
	var e *rollout.Error
	if !errors.As(err, &e) {
		return nil
	}
	return &schema.Error{Status: http.StatusForbidden, Type: "invalid_request_error", Param: e.Field,
		Code: "not_rolled_out", Message: e.Error()}
}
