// What users of @kubernetes/client-node do, against the cluster of $KUBECONFIG; prints what came of it as JSON.

import assert from 'node:assert/strict';
import net from 'node:net';
import { PassThrough } from 'node:stream';
import * as k8s from '@kubernetes/client-node';

const namespace = 'default';
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const apps = config.makeApiClient(k8s.AppsV1Api);

async function objects() {
    const body = { metadata: { name: 'javascript', labels: { by: 'javascript' } }, data: { a: '1' } };
    await core.createNamespacedConfigMap({ namespace, body });
    await assert.rejects(core.createNamespacedConfigMap({ namespace, body }), { code: 409 });
    const listed = await core.listNamespacedConfigMap({ namespace, labelSelector: 'by=javascript' });
    const any = k8s.KubernetesObjectApi.makeApiClient(config);
    const applied = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'javascript', namespace }, data: { b: '2' } };
    const merged = await any.patch(applied, undefined, undefined, 'me', true, k8s.PatchStrategy.ServerSideApply);
    await core.deleteNamespacedConfigMap({ name: 'javascript', namespace });
    return [listed.items[0].data, merged.data];
}

/** An informer of pods, and a way to wait for one that is as one wants it. */
async function informed() {
    const list = () => core.listNamespacedPod({ namespace });
    const informer = k8s.makeInformer(config, `/api/v1/namespaces/${namespace}/pods`, list);
    const seen = new Map();
    const waiting = new Set();
    const note = (pod) => {
        seen.set(pod.metadata.name, pod);
        waiting.forEach((look) => look(pod));
    };
    for (const event of ['add', 'update']) informer.on(event, note);
    informer.on('delete', (pod) => note({ ...pod, gone: true }));
    informer.on('error', (error) => waiting.forEach((look) => look(error)));
    await informer.start();
    const until = (name, condition) => new Promise((resolve, reject) => {
        const look = (pod) => {
            if (pod instanceof Error) reject(pod);
            if (pod.metadata?.name !== name || !condition(pod)) return;
            waiting.delete(look);
            resolve(pod);
        };
        waiting.add(look);
        if (seen.has(name)) look(seen.get(name));
    });
    return { until, stop: () => informer.stop() };
}

function text(stream) {
    let all = '';
    stream.on('data', (data) => { all += data; });
    return () => all;
}

async function run(name, command, input) {
    const [out, err] = [new PassThrough(), new PassThrough()];
    const [told, complained] = [text(out), text(err)];
    let stdin = null;
    if (input !== undefined) {
        stdin = new PassThrough();
        stdin.end(input);
    }
    const status = await new Promise((resolve, reject) => {
        new k8s.Exec(config).exec(namespace, name, 'c', command, out, err, stdin, false, resolve).catch(reject);
    });
    const code = status.details?.causes?.find((cause) => cause.reason === 'ExitCode')?.message ?? '0';
    return [told(), complained(), Number(code)];
}

async function logged(name) {
    const out = new PassThrough();
    const told = text(out);
    await new k8s.Log(config).log(namespace, name, 'c', out, { follow: false });
    await new Promise((resolve) => { out.on('end', resolve); });
    return told();
}

async function forwarded(name) {
    const forward = new k8s.PortForward(config);
    const server = net.createServer((socket) => { forward.portForward(namespace, name, [80], socket, null, socket); });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const socket = net.connect(server.address().port, '127.0.0.1');
    const told = text(socket);
    socket.write('GET / HTTP/1.0\r\n\r\n');
    while (!told().includes('</html>')) await new Promise((resolve) => { socket.once('data', resolve); });
    socket.destroy();
    server.close();
    return told().split('\r\n')[0];
}

const command = ['sh', '-c', "echo begun; exec nginx -g 'daemon off;'"];
const body = { metadata: { name: 'javascript' }, spec: { containers: [{ name: 'c', image: 'nginx', command }] } };
const pods = await informed();
await core.createNamespacedPod({ namespace, body });
await pods.until('javascript', (pod) => pod.status.conditions?.some((row) => row.type === 'Ready' && row.status === 'True'));
const result = {
    objects: await objects(),
    exec: await run('javascript', ['sh', '-c', 'echo out; echo err >&2; exit 3']),
    stdin: await run('javascript', ['sh', '-c', 'read line; echo got $line'], 'hello\n'),
    log: (await logged('javascript')).split('\n')[0],
    forward: await forwarded('javascript'),
    deployments: (await apps.listDeploymentForAllNamespaces()).items.map((row) => row.metadata.name),
};
await core.deleteNamespacedPod({ name: 'javascript', namespace, gracePeriodSeconds: 0 });
await pods.until('javascript', (pod) => pod.gone);
await pods.stop();
console.log(JSON.stringify(result));
process.exit(0);
