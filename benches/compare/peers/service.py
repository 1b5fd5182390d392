"""A service of the same contract as WSEXEC's first one: Flask, HTTP basic, paramiko, a store that
its workers share. It has what a comparison of GET and POST of a task needs, and no more.

    SERVICE_STORE=FILE SERVICE_LOGIN=NAME:PASSWORD SERVICE_KEY=FILE gunicorn --workers 3 service:app
"""

import hmac
import os
import sqlite3
import threading
import time

import paramiko
from flask import Flask, abort, g, jsonify, request, url_for
from flask_httpauth import HTTPBasicAuth

app = Flask(__name__)
auth = HTTPBasicAuth()
LOGIN = tuple(os.environ["SERVICE_LOGIN"].split(":", 1))
FIELDS = ("id", "name", "tag", "instance", "script", "user", "start", "end", "stdout", "stderr", "rc", "state")


def connect():
    store = sqlite3.connect(os.environ["SERVICE_STORE"], timeout=10)
    store.row_factory = sqlite3.Row
    store.execute("PRAGMA journal_mode = WAL")
    return store


with connect() as first:
    first.execute("CREATE TABLE IF NOT EXISTS instances (id INTEGER PRIMARY KEY, ip TEXT, port INTEGER, tag TEXT, state TEXT)")
    first.execute(
        "CREATE TABLE IF NOT EXISTS tasks (id INTEGER PRIMARY KEY, name TEXT, tag TEXT, instance INTEGER, script TEXT,"
        ' user TEXT, start INTEGER, "end" INTEGER, stdout TEXT, stderr TEXT, rc INTEGER, state TEXT)'
    )


def store():
    if "store" not in g:
        g.store = connect()
    return g.store


@app.teardown_appcontext
def close(_):
    if "store" in g:
        g.store.close()


@auth.verify_password
def verify(name, password):
    return hmac.compare_digest(name, LOGIN[0]) and hmac.compare_digest(password, LOGIN[1])


@auth.error_handler
def unauthorized():
    return jsonify(error="Unauthorized access"), 401


@app.errorhandler(404)
def not_found(_):
    return jsonify(error="Not found"), 404


def shown(row):
    task = {field: row[field] for field in FIELDS}
    task["uri"] = url_for("get_task", task_id=row["id"], _external=True)
    return task


def run(task_id, ip, port, user, script):
    here = connect()
    with here:
        here.execute("UPDATE tasks SET state = 'CURRENT', start = ? WHERE id = ?", (int(time.time()), task_id))
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    try:
        client.connect(ip, port, user, key_filename=os.environ["SERVICE_KEY"], allow_agent=False, look_for_keys=False)
        _, stdout, stderr = client.exec_command(script)
        result = (stdout.read().decode(), stderr.read().decode(), stdout.channel.recv_exit_status(), "DONE")
    except Exception as error:
        result = ("", str(error), None, "ABORT")
    finally:
        client.close()
    with here:
        here.execute(
            'UPDATE tasks SET stdout = ?, stderr = ?, rc = ?, state = ?, "end" = ? WHERE id = ?',
            (*result, int(time.time()), task_id),
        )
    here.close()


@app.get("/wsexec/tasks")
@auth.login_required
def get_tasks():
    return jsonify(tasks=[shown(row) for row in store().execute("SELECT * FROM tasks ORDER BY id")])


@app.get("/wsexec/tasks/<int:task_id>")
@auth.login_required
def get_task(task_id):
    row = store().execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone() or abort(404)
    return jsonify(task=shown(row))


@app.post("/wsexec/tasks")
@auth.login_required
def create_task():
    new = request.get_json()
    if not all(isinstance(new.get(field), str) for field in ("name", "script", "user")):
        return jsonify(error="Bad request"), 400
    instance = store().execute("SELECT * FROM instances WHERE id = ?", (new.get("instance"),)).fetchone() or abort(404)
    with store():
        task_id = store().execute(
            "INSERT INTO tasks (name, tag, instance, script, user, stdout, stderr, state) VALUES (?, ?, ?, ?, ?, '', '', 'INIT')",
            (new["name"], new.get("tag", ""), instance["id"], new["script"], new["user"]),
        ).lastrowid
    what = (task_id, instance["ip"], instance["port"], new["user"], new["script"])
    threading.Thread(target=run, args=what, daemon=True).start()
    return jsonify(task=shown(store().execute("SELECT * FROM tasks WHERE id = ?", (task_id,)).fetchone())), 201


@app.post("/wsexec/instances")
@auth.login_required
def create_instance():
    new = request.get_json()
    with store():
        made = store().execute(
            "INSERT INTO instances (ip, port, tag, state) VALUES (?, ?, ?, 'ACTIVE')",
            (new["ip"], new.get("port", 22), new.get("tag", "")),
        )
    return jsonify(instance={"id": made.lastrowid}), 201
