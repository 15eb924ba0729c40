package storetest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"apim-dr/internal/dr"
	"apim-dr/internal/engine"
	"apim-dr/internal/store"
)

var operations = map[string]func(*testing.T, Fixture){
	"a record is read as it was written, and its ETag saves it": func(t *testing.T, f Fixture) {
		op := operation(1, "me")
		etag := must(f.Store.CreateOperation(t.Context(), op))(t)
		for rev := 2; rev < 4; rev++ {
			got, read, err := f.Store.Operation(t.Context(), op.ID)
			ok(t, err)
			equal(t, "ETag read", read, etag)
			if !reflect.DeepEqual(got, op) {
				t.Fatalf("read %+v\nwrote %+v", got, op)
			}
			op.Rev, op.Phase = rev, dr.Verifying
			etag = must(f.Store.SaveOperation(t.Context(), op, etag))(t)
		}
	},
	"creating what exists is ErrExists and changes nothing": func(t *testing.T, f Fixture) {
		must(f.Store.CreateOperation(t.Context(), operation(1, "first")))(t)
		_, err := f.Store.CreateOperation(t.Context(), operation(1, "second"))
		is(t, err, engine.ErrExists)
		op, _, err := f.Store.Operation(t.Context(), id(1))
		ok(t, err)
		equal(t, "writer", op.Writer, "first")
	},
	"saving over another writer is ErrConflict and changes nothing": func(t *testing.T, f Fixture) {
		op := operation(1, "first")
		old := must(f.Store.CreateOperation(t.Context(), op))(t)
		op.Rev++
		must(f.Store.SaveOperation(t.Context(), op, old))(t)
		op.Writer = "second"
		_, err := f.Store.SaveOperation(t.Context(), op, old)
		is(t, err, engine.ErrConflict)
		op, _, err = f.Store.Operation(t.Context(), op.ID)
		ok(t, err)
		equal(t, "writer", op.Writer, "first")
	},
	"what is not there is ErrNotFound, and so is what is no id": func(t *testing.T, f Fixture) {
		must(f.Store.CreateOperation(t.Context(), operation(1, "me")))(t)
		for _, other := range []string{id(2), "", "x", "../" + id(1), id(1) + "/"} {
			_, _, err := f.Store.Operation(t.Context(), other)
			is(t, err, engine.ErrNotFound)
		}
		_, err := f.Store.SaveOperation(t.Context(), operation(2, "me"), `"0x1"`)
		is(t, err, engine.ErrNotFound)
	},
	"our own repeated create is a success with an ETag that saves": func(t *testing.T, f Fixture) {
		op := operation(1, "me")
		f.LoseAnswer(nil)
		etag := must(f.Store.CreateOperation(t.Context(), op))(t)
		op.Rev++
		f.LoseAnswer(nil)
		etag = must(f.Store.SaveOperation(t.Context(), op, etag))(t)
		op.Rev++
		must(f.Store.SaveOperation(t.Context(), op, etag))(t)
	},
	"our own repeated write that another has followed is not ours": func(t *testing.T, f Fixture) {
		op, other := operation(1, "me"), operation(1, "other")
		follow := func() {
			_, etag, err := f.Store.Operation(t.Context(), op.ID)
			ok(t, err)
			must(f.Store.SaveOperation(t.Context(), other, etag))(t)
		}
		f.LoseAnswer(follow)
		_, err := f.Store.CreateOperation(t.Context(), op)
		is(t, err, engine.ErrExists)
		_, etag, err := f.Store.Operation(t.Context(), op.ID)
		ok(t, err)
		op.Rev = 2
		f.LoseAnswer(follow)
		_, err = f.Store.SaveOperation(t.Context(), op, etag)
		is(t, err, engine.ErrConflict)
	},
	"without a writer nothing counts as ours": func(t *testing.T, f Fixture) {
		op := operation(1, "")
		old := must(f.Store.CreateOperation(t.Context(), op))(t)
		_, err := f.Store.CreateOperation(t.Context(), op)
		is(t, err, engine.ErrExists)
		must(f.Store.SaveOperation(t.Context(), op, old))(t)
		_, err = f.Store.SaveOperation(t.Context(), op, old)
		is(t, err, engine.ErrConflict)
	},
	"of many that create or save at once one wins": func(t *testing.T, f Fixture) {
		const n = 6
		win := func(refusal error, write func(op dr.Operation) error) {
			t.Helper()
			won := 0
			for _, err := range atOnce(n, func(i int) error { return write(operation(1, fmt.Sprint("writer", i))) }) {
				if err == nil {
					won++
				} else {
					is(t, err, refusal)
				}
			}
			equal(t, "winners", won, 1)
		}
		win(engine.ErrExists, func(op dr.Operation) error {
			_, err := f.Store.CreateOperation(t.Context(), op)
			return err
		})
		_, etag, err := f.Store.Operation(t.Context(), id(1))
		ok(t, err)
		win(engine.ErrConflict, func(op dr.Operation) error {
			op.Rev = 2
			_, err := f.Store.SaveOperation(t.Context(), op, etag)
			return err
		})
	},
}

// newer is a record of a version to come, whose shape is not ours.
const newer = `{"v":2,"id":{"new":"shape"},"legs":"none"}`

var records = map[string]func(*testing.T, Fixture){
	"a newer record is ErrNewer, whatever its shape, and can be told from an unreadable one": func(t *testing.T, f Fixture) {
		put(t, f.State, "operations/20261102/"+id(1)+".json", newer)
		_, _, err := f.Store.Operation(t.Context(), id(1))
		is(t, err, engine.ErrNewer)
		if errors.Is(err, engine.ErrUnreadable) || errors.Is(err, engine.ErrNotFound) {
			t.Fatal(err)
		}
		_, err = f.Store.CreateOperation(t.Context(), operation(1, "me"))
		is(t, err, engine.ErrExists)
	},
	"what is no record is ErrUnreadable": func(t *testing.T, f Fixture) {
		leg := `"legs":[{"verb":"backup"}]`
		for i, body := range []string{
			"", "null", "[]", `"text"`, "{", "not JSON", "{}", `{"v":"1"}`, `{"v":1}`, `{"v":1,"id":7}`,
			`{"v":1,"id":"ID","phase":"queued","legs":[]}`, `{"v":1,"id":"ID","phase":"queued","step":1,` + leg + `}`,
			`{"v":1,"id":"ID","phase":"queued","step":-1,` + leg + `}`, `{"v":1,"id":"ID","phase":"resting",` + leg + `}`,
			`{"v":0,"id":"ID","phase":"queued",` + leg + `}`, `{"v":1,"id":"` + id(1000) + `","phase":"queued",` + leg + `}`,
			`{"v":1,"id":"ID","phase":"queued","legs":[{"verb":"backup"},{"verb":"delete"}]}`,
			`{"v":1,"id":"ID","phase":"queued","legs":[{"verb":"restore"}]}`,
			`{"v":1,"id":"ID","phase":"queued",` + leg + `,"reason":"` + strings.Repeat("x", store.MaxRecord) + `"}`,
		} {
			put(t, f.State, "operations/20261102/"+id(i)+".json", strings.ReplaceAll(body, "ID", id(i)))
			if _, _, err := f.Store.Operation(t.Context(), id(i)); !errors.Is(err, engine.ErrUnreadable) {
				t.Errorf("%.60s: error is %v", body, err)
			}
		}
		put(t, f.State, "operations/20261102/"+id(99)+".json", `{"v":1,"id":"`+id(99)+`","phase":"queued","new":1,`+leg+`}`)
		_, _, err := f.Store.Operation(t.Context(), id(99)) // the others fail for the reason meant
		ok(t, err)
	},
	"of a blob no more is read than shows that it is too big": func(t *testing.T, f Fixture) {
		put(t, f.State, "big", strings.Repeat("x", store.MaxRecord+100))
		equal(t, "bytes", len(text(t, f.State, "big")), store.MaxRecord+1)
		equal(t, "size", must(f.State.Head(t.Context(), "big"))(t).Bytes, store.MaxRecord+100)
	},
	"what is stored does not change with its writer's or reader's memory": func(t *testing.T, f Fixture) {
		body, metadata := []byte("abc"), map[string]string{"k": "v"}
		etag := must(f.State.Create(t.Context(), "x", store.Content{Body: body, Metadata: metadata}))(t)
		body[0], metadata["k"] = 'X', "X"
		read, _, err := f.State.Get(t.Context(), "x")
		ok(t, err)
		read[1] = 'X'
		listed(t, f, "x").Metadata["k"] = "Y"
		equal(t, "body", text(t, f.State, "x"), "abc")
		equal(t, "metadata", listed(t, f, "x").Metadata["k"], "v")
		body = []byte("def")
		must(f.State.Replace(t.Context(), "x", body, etag))(t)
		body[0] = 'X'
		equal(t, "body", text(t, f.State, "x"), "def")
	},
	"what could not be read again is not written": func(t *testing.T, f Fixture) {
		for what, spoil := range map[string]func(*dr.Operation){
			"version": func(op *dr.Operation) { op.V = dr.Version + 1 }, "no version": func(op *dr.Operation) { op.V = 0 },
			"id": func(op *dr.Operation) { op.ID = "../x" }, "legs": func(op *dr.Operation) { op.Legs = nil },
			"phase": func(op *dr.Operation) { op.Phase = "" }, "verb": func(op *dr.Operation) { op.Legs[0].Verb = "" },
			"what to restore": func(op *dr.Operation) { op.Recovery, op.Legs[0].Verb = nil, dr.VerbRestore }, "size": func(op *dr.Operation) { op.Reason = strings.Repeat("x", store.MaxRecord) },
		} {
			op := operation(1, "me")
			spoil(&op)
			if _, err := f.Store.CreateOperation(t.Context(), op); err == nil {
				t.Errorf("%s: written", what)
			}
		}
		if all := names(t, f.State); len(all) > 0 {
			t.Errorf("written: %v", all)
		}
	},
}

var listing = map[string]func(*testing.T, Fixture){
	"pages hold each record of the day once, and leave the unreadable out": func(t *testing.T, f Fixture) {
		var want []string
		for i := range 7 {
			must(f.Store.CreateOperation(t.Context(), operation(i, "me")))(t)
			want = append(want, id(i))
		}
		put(t, f.State, "operations/20261102/"+id(8)+".json", "{")
		put(t, f.State, "operations/20261102/"+id(9)+".json", newer)
		put(t, f.State, "operations/20261102/notes.txt", "not ours")
		put(t, f.State, "operations/20261102/old/"+id(1)+".json", "{}")
		put(t, f.State, "operations/20261103/"+strings.Replace(id(1), "1102", "1103", 1)+".json", "{")
		var got []string
		pages := 0
		for after := ""; pages == 0 || after != ""; pages++ {
			ops, next, err := f.Store.ListOperations(t.Context(), "20261102", after, 3)
			ok(t, err)
			if len(ops) > 3 {
				t.Fatalf("%d in a page of 3", len(ops))
			}
			for _, op := range ops {
				got = append(got, op.ID)
			}
			after = next
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("listed %v\nwant %v", got, want)
		}
		equal(t, "pages of eleven blobs by three", pages, 4)
		ids := slices.Sorted(maps.Keys(must(f.Store.OperationIDs(t.Context(), "20261102"))(t)))
		want = append(want, id(8), id(9)) // whatever is in them
		slices.Sort(want)
		if !slices.Equal(ids, want) {
			t.Errorf("ids %v\nwant %v", ids, want)
		}
	},
	"a day without records is an empty last page": func(t *testing.T, f Fixture) {
		ops, next, err := f.Store.ListOperations(t.Context(), "20261102", "", 10)
		ok(t, err)
		if len(ops) > 0 || next != "" {
			t.Fatalf("%v, next %q", ops, next)
		}
		equal(t, "ids", len(must(f.Store.OperationIDs(t.Context(), "20261102"))(t)), 0)
	},
	"what is no day and no limit is refused": func(t *testing.T, f Fixture) {
		for _, day := range []string{"", "2026110", "../active", "2026-11-02", "20261102/"} {
			if _, _, err := f.Store.ListOperations(t.Context(), day, "", 10); err == nil {
				t.Errorf("day %q was taken", day)
			}
			if _, err := f.Store.OperationIDs(t.Context(), day); err == nil {
				t.Errorf("the ids of day %q were listed", day)
			}
		}
		for _, limit := range []int{-1, 0, store.MostListed + 1} {
			if _, _, err := f.Store.ListOperations(t.Context(), "20261102", "", limit); err == nil {
				t.Errorf("limit %d was taken", limit)
			}
		}
	},
}
