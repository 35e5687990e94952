"""An S3 server for the tests: OpenStack Swift with its s3api, as it runs in production, on loopback and in one process.

usage: python3 s3-server.py DIRECTORY ACCESS-KEY SECRET-KEY PORT [conditional] [full]

conditional: this version of Swift knows If-None-Match for PUT, and its s3api does not let it through; here it does.
full: no octet fits on the disk any more.

Objects lie in DIRECTORY; with the same DIRECTORY and PORT a second start finds them. Prints its port when it serves.
"""
import os
import sys

import eventlet
eventlet.monkey_patch()

from eventlet import wsgi
from swift.common import utils
from swift.common.middleware.s3api.s3request import S3Request
from swift.common.ring import RingBuilder
from swift.common.wsgi import SwiftHttpProtocol, loadapp

# Of the machine's configuration, which may not be there or not be ours: set before any ring is read.
utils.HASH_PATH_PREFIX, utils.HASH_PATH_SUFFIX = b'', b'certstatus'
utils.validate_hash_conf = lambda: None

STORAGE = ('account', 'container', 'object')

PROXY = '''
[DEFAULT]
swift_dir = {dir}
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats bulk s3api tempauth copy container-quotas slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 10
[filter:s3api]
use = egg:swift#s3api
auth_pipeline_check = false
s3_acl = false
location = us-east-1
max_bucket_listing = 20
[filter:tempauth]
use = egg:swift#tempauth
user_test_{access} = {secret} .admin
''' + ''.join(f'[filter:{name}]\nuse = egg:swift#{name.replace("-", "_")}\n' for name in (
    'catch_errors', 'gatekeeper', 'listing_formats', 'bulk', 'copy', 'container-quotas', 'slo', 'dlo'))

SERVER = '''
[DEFAULT]
swift_dir = {dir}
devices = {dir}
mount_check = false
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
'''


class Forgetful:
    """What tempauth asks for; requests that are signed one by one need no memory."""
    def get(self, *_, **__):
        return None

    set = delete = get


def with_cache(app):
    def call(env, start_response):
        env['swift.cache'] = Forgetful()
        return app(env, start_response)
    return call


def let_conditions_through():
    validate = S3Request._validate_headers

    def without_condition(self):
        condition = self.headers.pop('If-None-Match', None) if self.method == 'PUT' else None
        validate(self)
        if condition is not None:
            self.headers['If-None-Match'] = condition

    S3Request._validate_headers = without_condition


class Silent:
    """Requests are not logged: the test says what it sent."""
    def write(self, *_):
        pass

    flush = write


def serve(listener, path):
    app = with_cache(loadapp(path, global_conf={'log_name': 'swift'}))
    eventlet.spawn(wsgi.server, listener, app, Silent(), protocol=SwiftHttpProtocol,
                   custom_pool=eventlet.GreenPool(100), capitalize_response_headers=False)


def main(directory, access, secret, port, *how):
    if 'conditional' in how:
        let_conditions_through()
    if 'full' in how:
        # As if of the disk all that is left were reserved.
        utils.FALLOCATE_RESERVE, utils.FALLOCATE_IS_PERCENT = 100, True
    os.makedirs(os.path.join(directory, 'disk'), exist_ok=True)

    def write(name, text, **more):
        path = os.path.join(directory, name)
        with open(path, 'w') as file:
            file.write(text.format(dir=directory, access=access, secret=secret, **more))
        return path

    listeners = {kind: eventlet.listen(('127.0.0.1', 0)) for kind in STORAGE}
    for kind, listener in listeners.items():
        builder = RingBuilder(2, 1, 0)
        builder.add_dev({'id': 0, 'region': 1, 'zone': 1, 'weight': 1, 'device': 'disk',
                         'ip': '127.0.0.1', 'port': listener.getsockname()[1]})
        builder.rebalance()
        builder.get_ring().save(os.path.join(directory, f'{kind}.ring.gz'))
    for kind, listener in listeners.items():
        serve(listener, write(f'{kind}-server.conf', SERVER, kind=kind))
    front = eventlet.listen(('127.0.0.1', int(port)))
    serve(front, write('proxy-server.conf', PROXY))
    print(front.getsockname()[1], flush=True)
    # Nothing is left running when whoever started this is killed.
    parent = os.getppid()
    while os.getppid() == parent:
        eventlet.sleep(1)
    os._exit(0)


main(*sys.argv[1:])
