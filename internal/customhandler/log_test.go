package customhandler

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"apim-dr/internal/trace"
)

func TestALoggerWithAGroupPutsBothStreamsIntoIt(t *testing.T) {
	var out, err bytes.Buffer
	log := slog.New(NewLogHandler(&out, &err, slog.LevelInfo)).WithGroup("g")
	log.Info("fine", "a", 1)
	log.Error("broken", "a", 1)
	for _, got := range []string{out.String(), err.String()} {
		if !strings.Contains(got, `"g":{"a":1}`) {
			t.Error(got)
		}
	}
}

func TestErrorsGoToStderrAndLinesCarryTheirContext(t *testing.T) {
	var out, err bytes.Buffer
	log := slog.New(NewLogHandler(&out, &err, slog.LevelInfo)).With("a", 1)
	ctx := trace.Annotate(trace.With(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), trace.KeyOperation, "op-1")
	log.DebugContext(ctx, "quiet")
	log.InfoContext(ctx, "fine")
	log.ErrorContext(trace.Annotate(ctx, trace.KeyService, "contoso-eu"), "broken")
	for got, want := range map[string]string{
		out.String(): `"msg":"fine","a":1,"operation":"op-1","trace":"0af7651916cd43dd8448eb211c80319c"}`,
		err.String(): `"msg":"broken","a":1,"operation":"op-1","service":"contoso-eu","trace":"0af7651916cd43dd8448eb211c80319c"}`,
	} {
		if strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAFieldStandsInALineOnce(t *testing.T) {
	var out bytes.Buffer
	ctx := trace.Annotate(t.Context(), trace.KeyOperation, "op-1", trace.KeyService, "contoso-eu")
	slog.New(NewLogHandler(&out, &out, slog.LevelInfo)).InfoContext(ctx, "both", trace.KeyService, "contoso-us")
	if got := out.String(); !strings.HasSuffix(got, `"msg":"both","service":"contoso-us","operation":"op-1"}`+"\n") {
		t.Error(got)
	}
	if got := fmt.Sprint(trace.Attrs(ctx)); got != "[operation=op-1 service=contoso-eu]" {
		t.Errorf("the context has now %s", got)
	}
}
