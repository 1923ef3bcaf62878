package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/longtake/longtake/internal/access"
	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// Bounds of what a request says of times, in seconds.
const (
	expiresMost = 10 * 365 * 24 * 3600.0
	overlapMost = 30 * 24 * 3600.0
	// What a rotation without a word on it has: a deployment has time to take the new key in.
	overlapUsual = 24 * 3600.0
)

// Keys and teams are for administrators. Every request of these routes leads to one command, in
// which the audit finds who asked; what is only listed leads to none. Texts of keys pass through
// here once, on their way out: createKey and rotateKey.

// keys lists all keys, also those that let nobody in any more: their names and when they were last
// used answer whose jobs those are.
func (s *server) keys(w http.ResponseWriter, r *http.Request) error {
	all, err := s.service.Keys(r.Context())
	if err != nil {
		return err
	}
	l := schema.KeyList{Object: "list", Data: []schema.Key{}}
	for _, k := range all {
		l.Data = append(l.Data, schema.KeyOf(k, time.Now()))
	}
	reply(w, http.StatusOK, l)
	return nil
}

// key shows one key, by its id or name. Of several of one name that is the one that works.
func (s *server) key(w http.ResponseWriter, r *http.Request) error {
	k, err := s.service.Key(r.Context(), r.PathValue("name"))
	return replyKey(w, k, "", err)
}

// replyKey answers with a key, and with its text where it has a new one. No cache keeps that.
func replyKey(w http.ResponseWriter, k access.Key, text string, err error) error {
	if err != nil {
		return err
	}
	out := schema.KeyOf(k, time.Now())
	out.Text = text // in no log: answers are not logged
	w.Header().Set("Cache-Control", "no-store")
	reply(w, http.StatusOK, out)
	return nil
}

// createKey makes a key, whose text is in the answer and nowhere else. It is not repeated under an
// idempotency key: the text is not kept, so a second answer could not have it. A client whose
// answer was lost revokes the key and makes another one.
func (s *server) createKey(w http.ResponseWriter, r *http.Request) error {
	var q schema.KeyChange
	if err := readBody(w, r, &q, "name, team, scopes, quota, expires_in"); err != nil {
		return err
	}
	ch, err := changeOf(q, time.Now())
	if err != nil {
		return err
	}

	// One that nothing is said of makes clips, and looks at them.
	usual := access.Scopes{access.VideosRead, access.VideosWrite}
	k, text, err := s.service.CreateKey(r.Context(),
		ch.To(access.Key{Name: q.Name, Scopes: usual}))
	return replyKey(w, k, text, err)
}

// changeKey changes what a key may do, and for how long. It takes effect with the next request of
// the key; streams that are open go on.
func (s *server) changeKey(w http.ResponseWriter, r *http.Request) error {
	var q schema.KeyChange
	if err := readBody(w, r, &q, "team, scopes, quota, expires_in"); err != nil {
		return err
	}
	if q.Name != "" {
		return invalid("name", "name is %.64q; allowed: to leave it out, as names stay", q.Name)
	}
	ch, err := changeOf(q, time.Now())
	if err != nil {
		return err
	}
	k, err := s.service.ChangeKey(r.Context(), r.PathValue("name"), ch)
	return replyKey(w, k, "", err)
}

// changeOf checks a change, so that what is wrong is told by the names of the API.
func changeOf(q schema.KeyChange, now time.Time) (ch coord.KeyChange, err error) {
	ch = coord.KeyChange{Team: q.Team, Quota: q.Quota}
	if q.Scopes != nil {
		// Their order makes no difference, and is always the same where they are shown.
		sorted := slices.Clone(*q.Scopes)
		slices.SortFunc(sorted, func(a, b access.Scope) int {
			return slices.Index(access.AllScopes, a) - slices.Index(access.AllScopes, b)
		})
		ch.Scopes = &sorted
	}

	// The zero time says that it never ends.
	if in := q.ExpiresIn; in != nil {
		if !(*in >= 0 && *in <= expiresMost) {
			return ch, &job.FieldError{Field: "expires_in", Value: fmt.Sprint(*in),
				Allowed: "seconds from now, up to ten years; 0: never"}
		}
		ch.Expires = new(time.Time)
		if *in > 0 {
			*ch.Expires = now.Add(time.Duration(*in * float64(time.Second))).UTC().Round(0)
		}
	}
	return ch, nil
}

// rotateKey gives a key another text; the one before it works for a while. Rotating again in that
// time leaves two texts that work: the newest, and the one before it.
func (s *server) rotateKey(w http.ResponseWriter, r *http.Request) error {
	q := schema.Rotation{Overlap: overlapUsual}
	if err := readBody(w, r, &q, "overlap"); err != nil {
		return err
	}
	if !(q.Overlap >= 0 && q.Overlap <= overlapMost) {
		return &job.FieldError{Field: "overlap", Value: fmt.Sprint(q.Overlap),
			Allowed: "0 to 2592000 seconds"}
	}
	k, text, err := s.service.RotateKey(r.Context(), r.PathValue("name"),
		time.Duration(q.Overlap*float64(time.Second)))
	return replyKey(w, k, text, err)
}

// revokeKey ends a key for good. Requests under way are finished; the next one of the key is a 401
// that says that it was revoked, to who has its text. What it has made stays, and is an
// administrator's to delete.
func (s *server) revokeKey(w http.ResponseWriter, r *http.Request) error {
	k, err := s.service.ChangeKey(r.Context(), r.PathValue("name"), coord.KeyChange{Revoke: true})
	return replyKey(w, k, "", err)
}

// teams lists the teams that have quotas. The JSON of a quota has no bounds that are not set.
func (s *server) teams(w http.ResponseWriter, r *http.Request) error {
	all, err := s.service.Teams(r.Context())
	if err != nil {
		return err
	}
	l := schema.TeamList{Object: "list", Data: []schema.Team{}}
	for _, t := range all {
		l.Data = append(l.Data, schema.Team{Object: "team", Name: t.Name, Quota: t.Quota})
	}
	reply(w, http.StatusOK, l)
	return nil
}

// setTeam gives a team its quota, in place of the one before. The team need not have keys yet.
func (s *server) setTeam(w http.ResponseWriter, r *http.Request) error {
	t := access.Team{Name: r.PathValue("name")}
	q := struct {
		Quota access.Quota `json:"quota"`
	}{}
	if err := readBody(w, r, &q, "quota"); err != nil {
		return err
	}
	t.Quota = q.Quota
	if err := s.service.SetTeam(r.Context(), t); err != nil {
		return err
	}
	reply(w, http.StatusOK, schema.Team{Object: "team", Name: t.Name, Quota: t.Quota})
	return nil
}

// removeTeam takes a team's quota away. Its keys stay in it, and what they take still counts for
// the team, should it be given a quota again.
func (s *server) removeTeam(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if err := s.service.RemoveTeam(r.Context(), name); err != nil {
		return err
	}
	reply(w, http.StatusOK, map[string]any{"name": name, "object": "team.deleted", "deleted": true})
	return nil
}

// readBody reads a JSON object with no other names in it than those of to, which allowed lists, and
// none of them twice. An empty body leaves to as it is.
func readBody(w http.ResponseWriter, r *http.Request, to any, allowed string) error {
	fields, err := jsonFields(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil && r.ContentLength != 0 {
		return tooLarge(err)
	}
	d := json.NewDecoder(bytes.NewReader(encode(fields)))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil && fields != nil {
		return invalid("", "the body is wrong: %s; allowed: a JSON object of %s",
			strings.TrimPrefix(err.Error(), "json: "), allowed)
	}
	return nil
}
