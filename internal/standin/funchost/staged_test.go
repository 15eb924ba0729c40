package funchost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryMistakeOfTheStagedFolderIsToldAtOnce(t *testing.T) {
	host := `{"version":"1.0","functionTimeout":"soon",
	  "customHandler":{"description":{"defaultExecutablePath":"missing/handler","arguments":["%NOPE%"]},"http":{"routes":[{"route":"x"}]}},
	  "extensions":{"serviceBus":{"maxConcurrentCalls":0,"autoCompleteMessages":false}}}`
	trigger := func(rest string) string { return `{"bindings":[{"direction":"in","name":"in",` + rest + `}]}` }
	root := stage(t, host, map[string]string{
		"1st":            minuteTimer,
		"Host":           minuteTimer,
		"functions/Deep": minuteTimer,
		"Cron":           trigger(`"type":"timerTrigger","schedule":"0 0 25 * * *"`),
		"NoSetting":      trigger(`"type":"timerTrigger","schedule":"%WHEN%"`),
		"Level":          trigger(`"type":"httpTrigger","authLevel":"secret"`),
		"Route":          trigger(`"type":"httpTrigger","route":"a/{id:int}"`),
		"Same1":          trigger(`"type":"httpTrigger","route":"same/{a}","methods":["get"]`),
		"Same2":          trigger(`"type":"httpTrigger","route":"same/{b}","methods":["get"]`),
		"Bus":            trigger(`"type":"serviceBusTrigger","connection":"BUS","isSessionsEnabled":true,"dataType":"stream"`),
		"BusIdentity":    trigger(`"type":"serviceBusTrigger","queueName":"q","connection":"ID"`),
		"Blob":           trigger(`"type":"blobTrigger"`),
		"Two":            `{"bindings":[{"type":"timerTrigger","direction":"in","name":"a","schedule":"0 0 3 * * *"},{"type":"httpTrigger","direction":"in","name":"b"}]}`,
		"Out":            `{"bindings":[{"type":"http","direction":"out","name":"res"}]}`,
		"Direction":      `{"bindings":[{"type":"timerTrigger","direction":"inout","name":"a","schedule":"0 0 3 * * *"},{"type":"timerTrigger","direction":"in"}]}`,
		"Retry":          `{"retry":{"strategy":"fixedDelay"},` + minuteTimer[1:],
		"Broken":         `{`,
	})
	long := "L" + strings.Repeat("o", 127)
	write(t, filepath.Join(root, long, "function.json"), minuteTimer)
	write(t, filepath.Join(root, long+"ng", "function.json"), minuteTimer)
	write(t, filepath.Join(root, "function.json"), minuteTimer)
	write(t, filepath.Join(root, "local.settings.json"), `{"IsEncrypted":true}`)
	_, err := New(Options{
		Root: root, Settings: map[string]string{"ID__fullyQualifiedNamespace": "contoso.servicebus.windows.net"},
		FunctionKeys: map[string]string{"Nobody": "k"},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	want := []string{
		`local.settings.json: it is encrypted`,
		`host.json: version is "1.0"; it must be "2.0"`,
		`host.json: functionTimeout is "soon"; accepted: hh:mm:ss`,
		`host.json: customHandler.description.defaultExecutablePath: there is no file "missing/handler"`,
		`host.json: there is no setting for %NOPE%`,
		`host.json: customHandler.http.routes cannot be combined`,
		`host.json: extensions.serviceBus.maxConcurrentCalls is 0`,
		`host.json: extensions.serviceBus.autoCompleteMessages false`,
		`1st/function.json: "1st" cannot be a function's name`,
		`Host/function.json: "Host" cannot be a function's name`,
		long + `ng/function.json: "` + long + `ng" cannot be a function's name`,
		`function.json: a function's folder must be a direct child`,
		`functions/Deep/function.json: a function's folder must be a direct child`,
		`Cron/function.json: schedule "0 0 25 * * *"`,
		`NoSetting/function.json: there is no setting for %WHEN%`,
		`Level/function.json: authLevel is "secret"`,
		`Route/function.json: route "a/{id:int}": accepted parameters`,
		`Same2/function.json: pattern "GET /api/same/{b}"`,
		`Bus/function.json: sessions, cardinality many`,
		`Bus/function.json: dataType is "stream"`,
		`Bus/function.json: a serviceBusTrigger needs queueName, or topicName with subscriptionName`,
		`Bus/function.json: the setting BUS (a Service Bus connection string) is missing`,
		`BusIdentity/function.json: ID__fullyQualifiedNamespace asks for an identity`,
		`Blob/function.json: binding "in" of type "blobTrigger"`,
		`Two/function.json: a function has one trigger; "b" is the second`,
		`Out/function.json: a function needs a trigger, and an http output an httpTrigger`,
		`Direction/function.json: the direction of "a" is "inout"`,
		`Direction/function.json: a binding of type "timerTrigger" has no name`,
		`Retry/function.json: retry policies are not supported`,
		`Broken/function.json: unexpected end of JSON input`,
		`function keys: there is no function "Nobody"`,
	}
	for _, line := range want {
		if !strings.Contains("\n"+err.Error(), "\n"+line) {
			t.Errorf("not told: %s", line)
		}
	}
	if strings.Contains(err.Error(), "\n"+long+"/") {
		t.Error("a name of 128 characters is refused")
	}
	if t.Failed() {
		t.Logf("told:\n%v", err)
	}
}

func TestAFolderWithoutFunctionsOrWithAnExecutableThatCannotRunIsRefused(t *testing.T) {
	root := stage(t, plainHost, nil)
	if err := os.Remove(filepath.Join(root, "handler")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "handler"), "not executable")
	_, err := New(Options{Root: root})
	if err == nil || !strings.Contains(err.Error(), "no function found") || !strings.Contains(err.Error(), "handler is not executable") {
		t.Fatal(err)
	}
}

func TestHostJSONIsReadWithItsDefaultsAndOverrides(t *testing.T) {
	root := stage(t, `{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"nowhere.exe"}}}`, map[string]string{
		"Nightly": minuteTimer, "Off": strings.Replace(minuteTimer, "{", `{"disabled":true,`, 1), "OffToo": minuteTimer,
	})
	h, err := New(Options{Root: root, Settings: map[string]string{
		"AzureFunctionsJobHost__customHandler__description__defaultExecutablePath": "handler", "AzureWebJobs.OffToo.Disabled": "true",
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := h.app
	if a.executable != filepath.Join(root, "handler") || a.timeout != 30*time.Minute || a.startLimit != 30*time.Second || a.maxCalls != 16 || a.maxRenewal != 5*time.Minute {
		t.Errorf("%+v", a)
	}
	if len(a.functions) != 1 || a.function("nightly") == nil {
		t.Errorf("disabled functions are served: %d", len(a.functions))
	}
	write(t, filepath.Join(root, "host.json"), `{"version":"2.0","functionTimeout":"-1","customHandler":{"description":{"defaultExecutablePath":"sh"},"initializationTimeout":"00:01:30"},
	  "extensions":{"serviceBus":{"maxConcurrentCalls":3,"maxAutoLockRenewalDuration":"01:00:00"}}}`)
	if h, err = New(Options{Root: root}); err != nil {
		t.Fatal(err)
	}
	if a = h.app; a.timeout != 0 || a.startLimit != 90*time.Second || a.maxCalls != 3 || a.maxRenewal != time.Hour || !strings.HasSuffix(a.executable, "/sh") {
		t.Errorf("%+v", a)
	}
	if h, err = New(Options{Root: root, FunctionTimeout: time.Second}); err != nil || h.app.timeout != time.Second {
		t.Errorf("timeout %v, error %v", h.app.timeout, err)
	}
}
