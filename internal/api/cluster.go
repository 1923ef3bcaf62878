package api

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/longtake/longtake/internal/api/schema"
	"github.com/longtake/longtake/internal/coord"
	"github.com/longtake/longtake/internal/job"
)

// models lists the models that the cluster serves, none before the first shard, and on the leader
// where they are. OpenAI's SDKs and web interfaces ask it first, to offer a choice; an empty list
// is right for them.
func (s *server) models(w http.ResponseWriter, r *http.Request) error {
	out := schema.ModelList{Object: "list", Data: []schema.Model{}}
	for _, m := range s.served(r) {
		out.Data = append(out.Data, modelOf(m, m.Name))
	}
	reply(w, http.StatusOK, out)
	return nil
}

// getModel answers with one of the served models. An alias works as long as the model that it is
// for is served, and the answer has the alias as its id.
func (s *server) getModel(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("id")
	of, alias := s.aliases[name]
	for _, m := range s.served(r) {
		if m.Name == name || alias && (m.Name == of || of == "" && m.Default) {
			reply(w, http.StatusOK, modelOf(m, name))
			return nil
		}
	}
	return fmt.Errorf("model %.128q: %w", name, coord.ErrNotFound)
}

// served returns the models, of which one is the default: that of the settings, if they name one.
func (s *server) served(r *http.Request) []coord.ServedModel {
	all := s.service.Models(r.Context())
	for i, m := range all {
		if s.model != "" {
			all[i].Default = m.Name == s.model
		}
	}
	return all
}

// modelOf describes a model under its name or an alias. When it was made is not known. So created
// is 0, where OpenAI has a time.
func modelOf(m coord.ServedModel, name string) schema.Model {
	return schema.Model{ID: name, Object: "model", OwnedBy: "longtake", Details: m}
}

// nodes lists the registered shards.
func (s *server) nodes(w http.ResponseWriter, r *http.Request) error {
	nodes, err := s.service.Nodes(r.Context())
	if err == nil {
		reply(w, http.StatusOK, schema.NodeList{Object: "list", Data: nodes})
	}
	return err
}

// drainWithin is how long a drained node may finish its step, in seconds, unless the request says;
// a day is the most. A minute covers a step of most clips; one that takes longer is cut short, and
// made again elsewhere.
const drainWithin, drainWithinMax = 60.0, 24 * 3600.0

// drain takes a shard out of use. It answers at once; the shard's state tells when it is free. A
// shard that is not known is a 404. The name may be its id.
func (s *server) drain(w http.ResponseWriter, r *http.Request) error {
	within := drainWithin
	text, err := param(w, r, "within")
	if err != nil {
		return err
	}
	if text != "" {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= drainWithinMax) {
			return &job.FieldError{Field: "within", Value: fmt.Sprintf("%.32q", text),
				Allowed: "0 to 86400 seconds"}
		}
		within = v
	}

	n, err := s.service.DrainNode(r.Context(), r.PathValue("name"),
		time.Duration(within*float64(time.Second)))
	if err == nil {
		reply(w, http.StatusOK, n)
	}
	return err
}

// undrain lets a shard work again.
func (s *server) undrain(w http.ResponseWriter, r *http.Request) error {
	n, err := s.service.UndrainNode(r.Context(), r.PathValue("name"))
	if err == nil {
		reply(w, http.StatusOK, n)
	}
	return err
}

// cluster shows what this coordinator knows; it is the one route of the group that followers
// answer. So it can tell a client who leads.
func (s *server) cluster(w http.ResponseWriter, r *http.Request) error {
	st, err := s.service.Status(r.Context())
	if err == nil {
		reply(w, http.StatusOK, st)
	}
	return err
}

// status200 answers with the cluster after a change to it.
func status200(w http.ResponseWriter, st coord.Status, err error) error {
	if err == nil {
		reply(w, http.StatusOK, st)
	}
	return err
}

// addMember adds a coordinator, which has to run and to answer. It needs raft.join in its settings.
// What its id and addresses may be is for the coordinators to say.
func (s *server) addMember(w http.ResponseWriter, r *http.Request) error {
	p, err := readPeer(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		return tooLarge(err)
	}
	st, err := s.service.AddMember(r.Context(), coord.Peer(p))
	return status200(w, st, err)
}

// readPeer reads the coordinator that is to become a member.
func readPeer(body io.Reader) (p schema.Peer, err error) {
	fields, err := jsonFields(body)
	if err != nil {
		return p, err
	}
	for name, raw := range fields {
		to, ok := map[string]*string{"id": &p.ID, "raft_address": &p.Raft, "http_address": &p.HTTP}[name]
		if !ok {
			return p, invalid(fmt.Sprintf("%.64s", name), "unknown field %.64q; allowed: id, "+
				"raft_address, http_address", name)
		}
		if json.Unmarshal(raw, to) != nil {
			return p, &job.FieldError{Field: name, Value: fmt.Sprintf("%.64s", raw), Allowed: "a text"}
		}
	}
	return p, nil
}

// removeMember takes a coordinator out; force also if no majority is in reach then. Without force,
// a removal after which the rest could decide nothing is refused, as is that of the leader.
func (s *server) removeMember(w http.ResponseWriter, r *http.Request) error {
	force, err := strconv.ParseBool(cmp.Or(r.URL.Query().Get("force"), "false"))
	if err != nil {
		return &job.FieldError{Field: "force", Value: fmt.Sprintf("%.32q", r.URL.Query().Get("force")),
			Allowed: "true, false"}
	}
	st, err := s.service.RemoveMember(r.Context(), r.PathValue("id"), force)
	return status200(w, st, err)
}

// transfer hands the leadership over, to anyone if the request names nobody.
func (s *server) transfer(w http.ResponseWriter, r *http.Request) error {
	to, err := param(w, r, "to")
	if err != nil {
		return err
	}
	st, err := s.service.TransferLeader(r.Context(), to)
	return status200(w, st, err)
}

// paramsMax bounds a form of parameters, in bytes.
const paramsMax = 16 << 10

// param returns a parameter of the query or of a small form. People send either with curl:
// ?within=5, or -d within=5.
func param(w http.ResponseWriter, r *http.Request, name string) (string, error) {
	r.Body = http.MaxBytesReader(w, r.Body, paramsMax)
	err := r.ParseForm()
	if err == nil {
		err = r.ParseMultipartForm(paramsMax)
	}
	if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		return "", tooLarge(bodyError("the form", err))
	}
	return r.Form.Get(name), nil
}
