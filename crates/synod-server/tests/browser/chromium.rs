//! A browser, driven by its DevTools protocol over a pipe: JSON, with a zero byte after each message.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

/// Chromium with one page.
pub(crate) struct Browser {
    child: Child,
    requests: File,
    answers: BufReader<File>,
    session: String,
    last: u64,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Starts it. The page observes layout shifts from its first moment.
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [requests, answers] = ["requests", "answers"].map(|name| {
            let path = folder.path().join(name);
            assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
            path
        });
        // Open for both, so that neither side waits for the other.
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path).unwrap();
        let (to, from) = (open(&requests), open(&answers));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(
            "exec chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --remote-debugging-pipe \
             --user-data-dir=\"$1/profile\" 3<\"$1/requests\" 4>\"$1/answers\"",
        );
        shell.arg("sh").arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = shell.spawn().unwrap();
        let answers = BufReader::new(from);
        let mut browser = Self { child, requests: to, answers, session: String::new(), last: 0, _folder: folder };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let attached = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        browser.call("Page.enable", json!({}));
        let observe = "window.moved = []; window.alerts = 0; window.alert = () => alerts++; \
            new PerformanceObserver(list => list.getEntries().forEach(entry => moved.push(entry.value + ': ' + entry.sources.map(source => \
            `${source.node?.outerHTML ?? source.node?.textContent} ${JSON.stringify(source.previousRect)} ${JSON.stringify(source.currentRect)}`)))) \
            .observe({ type: 'layout-shift', buffered: true });";
        browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": observe }));
        browser
    }

    /// Calls a method, and returns its result.
    #[track_caller]
    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.last += 1;
        let mut request = json!({ "id": self.last, "method": method, "params": params });
        if !self.session.is_empty() {
            request["sessionId"] = self.session.clone().into();
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.answers.read_until(0, &mut bytes).unwrap();
            bytes.pop();
            let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
            if answer["id"] == self.last {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// What a script comes to, when it is done.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) -> Value {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let mut answer = self.call("Runtime.evaluate", params);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until a script comes to something true.
    #[track_caller]
    pub(crate) fn until(&mut self, script: &str) {
        let waits = format!(
            "new Promise((done, failed) => {{ const end = Date.now() + 20000; (function look() {{ let is = false; \
             try {{ is = {script}; }} catch {{}} if (is) done(true); else if (Date.now() > end) \
             failed(document.body.innerText); else setTimeout(look, 30); }})(); }})"
        );
        self.run(&waits);
    }

    pub(crate) fn go(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
        self.until(
            "document.readyState === 'complete' && !document.getElementById('enter').classList.contains('pending')",
        );
    }

    pub(crate) fn size(&mut self, width: u32, height: u32, is_phone: bool) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    pub(crate) fn key(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// A picture for people, in the folder that `SYNOD_SCREENSHOTS` names.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("SYNOD_SCREENSHOTS") else { return };
        let picture = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        let mut decoder = Command::new("base64");
        let file = File::create(Path::new(&folder).join(format!("{name}.png"))).unwrap();
        let mut decoder = decoder.arg("-d").stdin(Stdio::piped()).stdout(file).spawn().unwrap();
        decoder.stdin.take().unwrap().write_all(picture["data"].as_str().unwrap().as_bytes()).unwrap();
        decoder.wait().unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
